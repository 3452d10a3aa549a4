/** One step of diffusion training on an engine: pictures and noise in, better parameters out. */
import type { Backend, SessionOptions, Tensors } from "../../backends/backend.ts";
import type { PredictionType, Schedule } from "../../diffusion/scheduler.ts";
import { type Graph, paramShapes } from "../../graph/mod.ts";
import { type NetworkDefinition, networkGraph } from "../../networks/architecture.ts";
import type { AdamOptions } from "../optimiser/update_rule.ts";
import { denoisingObjective, lossWeight } from "./loss.ts";
import { type LabelParts, sharesOf } from "./label_parts.ts";
import { dropoutKeys, type TrainBatch } from "./batch.ts";
import { layoutOf, type ParamLayout, type TrainState } from "../optimiser/layout.ts";
import { Trainer } from "../optimiser/trainer.ts";

export interface TrainStepOptions {
  readonly network: NetworkDefinition;
  readonly schedule: Pick<Schedule, "alpha_bar">;
  readonly prediction: PredictionType;
  /** Images in one evaluation of the network. */
  readonly batch: number;
  /** Evaluations whose gradients make one update; default 1. The result is that of one big batch. */
  readonly accumulate?: number;
  /** γ of min-SNR weighting (Hang et al. 2023); left out, every image weighs 1 (L_simple). */
  readonly minSnrGamma?: number;
  readonly adam?: AdamOptions;
  /** The largest global gradient norm; left out, gradients are not clipped. */
  readonly maxGradNorm?: number;
  /** The dropout probability; the default is the network's own. */
  readonly dropout?: number;
  /** Labels made of others; left out, each has a row of its own. */
  readonly labelParts?: LabelParts;
  readonly session?: SessionOptions;
}

export interface StepSettings {
  /** 1 for the first update: Adam's bias corrections follow from it. */
  readonly step: number;
  readonly lr: number;
  /** The share of the old running mean that is kept; see `emaDecay`. */
  readonly emaDecay: number;
  /** With `step`, which units dropout leaves out; only used where there is dropout. */
  readonly seed: number;
}

export interface StepResult {
  /** What was minimised: the mean over images of weight × squared error. */
  readonly loss: number;
  /** Each image's mean squared error, unweighted, [images]. */
  readonly losses: Float32Array;
  /** The global norm of the gradient, before clipping. */
  readonly gradNorm: number;
}

/** Holds a network's training state and carries out updates on an engine. */
export class TrainStep implements AsyncDisposable {
  private constructor(readonly options: TrainStepOptions, readonly trainer: Trainer) {}

  static async create(
    backend: Backend,
    options: TrainStepOptions,
    state: TrainState,
  ): Promise<TrainStep> {
    const { accumulate, adam, maxGradNorm, session } = options;
    const objective = (graph: Graph) => denoisingObjective(graph, denoisingOptions(options));
    const trainer = await Trainer.create(
      backend,
      { objective, accumulate, adam, maxGradNorm, session },
      state,
    );
    return new TrainStep(options, trainer);
  }

  /** Where each parameter lies in the state's vectors. */
  get layout(): ParamLayout {
    return this.trainer.layout;
  }

  /** The state after the last step. Set it to go on from another one. */
  get state(): TrainState {
    return this.trainer.state;
  }

  set state(state: TrainState) {
    this.trainer.state = state;
  }

  /**
   * Carries out one update.
   * @throws InputError where the gradient is not finite; the state then stays as it was
   */
  async run(batch: TrainBatch, settings: StepSettings): Promise<StepResult> {
    const feeds = this.#feeds(batch, settings);
    const { loss, gradNorm, outputs } = await this.trainer.run(feeds, settings);
    const size = this.options.batch;
    const losses = new Float32Array(size * feeds.length);
    outputs.forEach((output, i) => losses.set(output.losses.data as Float32Array, i * size));
    return { loss, losses, gradNorm };
  }

  /** The batch cut into `accumulate` parts, which are views of it. */
  #feeds({ x_0, eps, t, labels }: TrainBatch, { seed, step }: StepSettings): Tensors[] {
    const { network, schedule, prediction, minSnrGamma, batch, accumulate = 1 } = this.options;
    const picture = network.shape;
    const size = picture.reduce((n, d) => n * d);
    const images = batch * accumulate;
    const expectLength = (name: string, found: number | undefined, expected: number) => {
      if (found === expected) return;
      throw new Error(`${name}: ${images} images need ${expected} numbers, found ${found}`);
    };
    expectLength("x_0", x_0.length, images * size);
    expectLength("eps", eps.length, images * size);
    expectLength("t", t.length, images);
    if (network.classes !== null) expectLength("labels", labels?.length, images);

    const alpha_bar = Array.from(t, (t) => schedule.alpha_bar(t));
    const perImage: Record<string, Float32Array | Int32Array> = {
      timestep: t,
      sqrt_alpha_bar: Float32Array.from(alpha_bar, Math.sqrt),
      sqrt_one_minus_alpha_bar: Float32Array.from(alpha_bar, (a) => Math.sqrt(1 - a)),
      weight: Float32Array.from(alpha_bar, (a) => lossWeight(prediction, a, minSnrGamma)),
    };
    const { labelParts } = this.options;
    if (labelParts) perImage.class_weights = sharesOf(labelParts, labels!);
    else if (network.classes !== null) perImage.class_labels = labels!;
    if (denoisingOptions(this.options).dropout > 0) {
      perImage.dropout_keys = dropoutKeys(seed, step, images);
    }
    return Array.from({ length: accumulate }, (_, i) => {
      const [from, to] = [i * batch, (i + 1) * batch];
      const pictures = (data: Float32Array) => ({
        data: data.subarray(from * size, to * size),
        dims: [batch, ...picture],
      });
      const numbers = Object.entries(perImage).map(([name, data]) => {
        const each = data.length / images;
        const dims = each === 1 ? [batch] : [batch, each];
        return [name, { data: data.subarray(from * each, to * each), dims }] as const;
      });
      return { x_0: pictures(x_0), eps: pictures(eps), ...Object.fromEntries(numbers) };
    });
  }

  close(): Promise<void> {
    return this.trainer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function denoisingOptions(options: TrainStepOptions) {
  const { network, prediction, batch, dropout = network.dropout, labelParts } = options;
  return { network, prediction, batch, dropout, shared: labelParts !== undefined };
}

/** The layout of a network's parameters, to make a first state with. */
export function networkLayout(network: NetworkDefinition): ParamLayout {
  return layoutOf(paramShapes(networkGraph(network)));
}
