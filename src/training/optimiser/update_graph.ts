/** Loss, gradients, clipping, Adam and running mean as one graph. */
import type { SessionOptions } from "../../backends/backend.ts";
import {
  add,
  concat,
  gradients,
  Graph,
  paramShapes,
  reshape,
  scale,
  type Value,
} from "../../graph/mod.ts";
import {
  type AdamOptions,
  type AdamScalars,
  adamUpdate,
  clipByNorm,
  emaUpdate,
  globalNorm,
} from "./update_rule.ts";
import { layoutOf, type ParamLayout } from "./layout.ts";

/** A loss over a batch of fixed size. */
export interface Objective {
  /** One number: the mean over the batch, so that accumulated batches can be averaged. */
  readonly loss: Value;
  /** What else a run gives back, by name. */
  readonly outputs?: Readonly<Record<string, Value>>;
}

/** What is minimised, and how. */
export interface TrainerOptions {
  /** Builds the loss from inputs and parameters that it makes in the graph. */
  readonly objective: (graph: Graph) => Objective;
  /** Batches whose gradients make one update; default 1. */
  readonly accumulate?: number;
  readonly adam?: AdamOptions;
  /** The largest global gradient norm; left out, gradients are not clipped. */
  readonly maxGradNorm?: number;
  readonly session?: SessionOptions;
}

export interface TrainGraph {
  readonly graph: Graph;
  readonly layout: ParamLayout;
  /** The flat vector of which the parameters are pieces. */
  readonly theta: Value;
}

interface WithGradient extends TrainGraph {
  /** The gradient in the layout's order, as one flat vector, plus the input `grad_sum`. */
  readonly gradient: Value;
}

/** The objective and its gradient. Batches are averaged by giving each gradient its share. */
function withGradient({ objective, accumulate = 1 }: TrainerOptions): WithGradient {
  const graph = new Graph();
  const { loss, outputs = {} } = objective(graph);
  graph.output("loss", loss);
  for (const [name, value] of Object.entries(outputs)) graph.output(name, value);

  const layout = layoutOf(paramShapes(graph));
  const params = layout.params.map(({ name }) => graph.params.get(name)!);
  const flat = concat(
    gradients(scale(loss, 1 / accumulate), params).map((d, i) =>
      reshape(d, [layout.params[i].size])
    ),
    0,
  );
  const gradient = accumulate > 1 ? add(graph.input("grad_sum", [layout.size]), flat) : flat;
  return { graph, layout, theta: graph.input("theta", [layout.size]), gradient };
}

/** Adds a batch's gradient to those before it: `grad_sum` → `new_grad_sum`. */
export function accumulateGraph(options: TrainerOptions): TrainGraph {
  const built = withGradient(options);
  built.graph.output("new_grad_sum", built.gradient);
  return built;
}

/** One update: `theta`, `m`, `v`, `ema` → `new_theta`, `new_m`, `new_v`, `new_ema`, `grad_norm`. */
export function updateGraph(options: TrainerOptions): TrainGraph {
  const built = withGradient(options);
  const { graph, layout, theta, gradient } = built;
  const { adam = {}, maxGradNorm } = options;

  const norm = globalNorm(gradient);
  graph.output("grad_norm", norm);
  const g = maxGradNorm === undefined ? gradient : clipByNorm(gradient, norm, maxGradNorm);

  const [m, v, ema] = ["m", "v", "ema"].map((name) => graph.input(name, [layout.size]));
  const scalars: AdamScalars<Value> = {
    stepSize: graph.input("step_size", []),
    invSqrtCorrection2: graph.input("inv_sqrt_correction2", []),
    decay: graph.input("decay", []),
  };
  const updated = adamUpdate({ theta, m, v }, g, scalars, layout, adam);
  graph.output("new_theta", updated.theta);
  graph.output("new_m", updated.m);
  graph.output("new_v", updated.v);
  graph.output("new_ema", emaUpdate(ema, updated.theta, graph.input("ema_decay", [])));
  return built;
}
