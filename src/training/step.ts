/** One step of diffusion training on an engine: pictures and noise in, better parameters out. */
import type { Backend, SessionOptions } from "../backend/backend.ts";
import type { PredictionType, Schedule } from "../diffusion/types.ts";
import type { UNetConfig } from "../unet/mod.ts";
import type { AdamOptions } from "./adam.ts";
import type { ParamLayout } from "./layout.ts";
import type { TrainState } from "./state.ts";

export interface TrainStepOptions {
  readonly config: UNetConfig;
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
  /** The dropout probability; the default is the config's own. */
  readonly dropout?: number;
  readonly session?: SessionOptions;
}

/** `batch × accumulate` images. */
export interface TrainBatch {
  /** Pictures in −1 … 1, [images, C, H, W]. */
  readonly x_0: Float32Array;
  /** N(0, I), as x_0. */
  readonly eps: Float32Array;
  /** Timesteps, [images]. */
  readonly t: Float32Array;
  /** Classes, [images]; given exactly when the network has num_class_embeds. */
  readonly labels?: Int32Array;
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

export declare class TrainStep implements AsyncDisposable {
  /** Where each parameter lies in the state's vectors. */
  readonly layout: ParamLayout;
  /** The state after the last step. Set it before the first one, or to go on from a checkpoint. */
  state: TrainState;
  static create(
    backend: Backend,
    options: TrainStepOptions,
    state: TrainState,
  ): Promise<TrainStep>;
  /** Carries out one update. On an error the state stays as it was. */
  run(batch: TrainBatch, settings: StepSettings): Promise<StepResult>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The layout of a U-Net's parameters, to make a first state with. */
export declare function unetLayout(config: UNetConfig): ParamLayout;
