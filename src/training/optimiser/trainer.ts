/** Minimises any loss that is written as a graph, with the whole update inside the graph. */
import type { Backend, Session, Tensor, Tensors } from "../../backends/backend.ts";
import { InputError } from "../../errors.ts";
import { Graph, paramShapes } from "../../graph/mod.ts";
import { adamScalars } from "./update_rule.ts";
import { layoutOf, type ParamLayout, type TrainState } from "./layout.ts";
import {
  accumulateGraph,
  type TrainerOptions,
  type TrainGraph,
  updateGraph,
} from "./update_graph.ts";

export interface UpdateSettings {
  /** 1 for the first update: Adam's bias corrections follow from it. */
  readonly step: number;
  readonly lr: number;
  /** The share of the old running mean that is kept; see `emaDecay`. */
  readonly emaDecay: number;
}

export interface UpdateResult {
  /** The mean of the batches' losses. */
  readonly loss: number;
  /** The global norm of the gradient, before clipping. */
  readonly gradNorm: number;
  /** The objective's outputs for each batch. */
  readonly outputs: readonly Tensors[];
}

/** The layout of an objective's parameters, to make a first state with. */
export function objectiveLayout(objective: TrainerOptions["objective"]): ParamLayout {
  const graph = new Graph();
  objective(graph);
  return layoutOf(paramShapes(graph));
}

/** Holds the training state and carries out updates on an engine. */
export class Trainer implements AsyncDisposable {
  #state: TrainState;

  private constructor(
    readonly layout: ParamLayout,
    readonly options: TrainerOptions,
    state: TrainState,
    /** The last batch of an update: its gradient, plus the accumulated ones, and the update. */
    readonly update: Session,
    /** The batches before it; undefined where there are none. */
    readonly accumulate: Session | undefined,
  ) {
    this.#state = state;
  }

  static async create(
    backend: Backend,
    options: TrainerOptions,
    state: TrainState,
  ): Promise<Trainer> {
    const { accumulate = 1, session } = options;
    if (!Number.isInteger(accumulate) || accumulate < 1) {
      throw new InputError(`accumulate: expected a whole number from 1, found ${accumulate}`);
    }
    const load = ({ graph, theta, layout }: TrainGraph) => {
      const order = layout.params.map(({ name }) => name);
      return backend.createSession(graph, { input: theta, order }, session);
    };
    const built = updateGraph(options);
    checkState(state, built.layout);
    const update = await load(built);
    if (accumulate === 1) return new Trainer(built.layout, options, state, update, undefined);
    try {
      const before = await load(accumulateGraph(options));
      return new Trainer(built.layout, options, state, update, before);
    } catch (error) {
      await update.close();
      throw error;
    }
  }

  /** The state after the last update; set it to go on from another one. */
  get state(): TrainState {
    return this.#state;
  }

  set state(state: TrainState) {
    this.#state = checkState(state, this.layout);
  }

  /**
   * One update from `accumulate` batches of the objective's inputs.
   * @throws InputError where the gradient is not finite; the state then stays as it was
   */
  async run(
    batches: readonly Tensors[],
    { step, lr, emaDecay }: UpdateSettings,
  ): Promise<UpdateResult> {
    const { accumulate = 1, adam = {} } = this.options;
    if (batches.length !== accumulate) {
      throw new Error(`expected ${accumulate} batches, found ${batches.length}`);
    }
    const vector = (data: Float32Array): Tensor => ({ data, dims: [this.layout.size] });
    const { theta, m, v, ema } = this.#state;
    const outputs: Tensors[] = [];

    let gradients: Tensors = {};
    if (this.accumulate) {
      gradients = { grad_sum: vector(new Float32Array(this.layout.size)) };
      for (const batch of batches.slice(0, -1)) {
        const result = await this.accumulate.run({ ...batch, ...gradients, theta: vector(theta) });
        gradients = { grad_sum: result.new_grad_sum };
        outputs.push(result);
      }
    }
    const { stepSize, invSqrtCorrection2, decay } = adamScalars(step, lr, adam);
    const result = await this.update.run({
      ...batches.at(-1)!,
      ...gradients,
      theta: vector(theta),
      m: vector(m),
      v: vector(v),
      ema: vector(ema),
      step_size: scalar(stepSize),
      inv_sqrt_correction2: scalar(invSqrtCorrection2),
      ema_decay: scalar(emaDecay),
      ...(adam.weightDecay ? { decay: scalar(decay) } : {}),
    });
    outputs.push(result);

    const losses = outputs.map(({ loss }) => loss.data[0] as number);
    const loss = losses.reduce((a, b) => a + b) / losses.length;
    const gradNorm = result.grad_norm.data[0] as number;
    if (!Number.isFinite(gradNorm)) {
      throw new InputError(
        `step ${step}: the loss is ${loss} and the gradient's norm ${gradNorm}; a lower learning rate, a longer warm-up or gradient clipping keeps them finite`,
      );
    }
    this.#state = {
      theta: result.new_theta.data as Float32Array,
      m: result.new_m.data as Float32Array,
      v: result.new_v.data as Float32Array,
      ema: result.new_ema.data as Float32Array,
    };
    return { loss, gradNorm, outputs };
  }

  async close(): Promise<void> {
    await this.update.close();
    await this.accumulate?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function scalar(x: number): Tensor {
  return { data: new Float32Array([x]), dims: [] };
}

function checkState(state: TrainState, { size }: ParamLayout): TrainState {
  for (const [name, vector] of Object.entries(state)) {
    if (vector.length !== size) {
      throw new Error(`state.${name}: expected ${size} numbers, found ${vector.length}`);
    }
  }
  return state;
}
