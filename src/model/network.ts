/** The interface of a noise-predicting network, whoever runs it. */
import type { Guided } from "../diffusion/guided.ts";
import type { SchedulerConfig } from "../diffusion/scheduler.ts";
import type { Distilled } from "../weights/read/card.ts";

/** What its makers advise when nothing is asked for. */
export interface Recommendation {
  /** A built-in scheduler's name. */
  readonly scheduler: string;
  /** Network evaluations an image. */
  readonly steps: number;
  /** Guidance scale; left out it is 1, off. */
  readonly guidance?: number;
  /** The timesteps at which it is guided; left out, all. */
  readonly guided?: Guided;
}

/** A noise-predicting network, whoever runs it. */
export interface Network {
  /** [C, H, W] of one picture. */
  readonly shape: readonly [number, number, number];
  /** C, or 2C when the network learned its variance (learned_range). */
  readonly outChannels: number;
  /** The schedule it was trained under. */
  readonly scheduler: SchedulerConfig;
  /** Class labels it knows, in order of index; undefined for an unconditional network. */
  readonly labels?: readonly string[];
  /** The index that means "no class", for guidance. */
  readonly nullLabel?: number;
  /** How it is sampled when nothing is asked for. */
  readonly recommended?: Recommendation;
  /** Set where it was distilled: it then takes no guidance, and maybe few timesteps alone. */
  readonly distilled?: Distilled;
  /**
   * One evaluation of the network.
   * @param x [N, C, H, W] flattened
   * @param t N timesteps, possibly fractional
   * @param labels N class indices; required if and only if `labels` is set
   * @returns [N, outChannels, H, W] flattened, the network's own output
   */
  predict(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Float32Array>;
  /**
   * The vector–Jacobian product (∂output/∂x)ᵀ u of every picture; undefined where the weights have no
   * gradient (a bare ONNX file).
   * @param u [N, outChannels, H, W] flattened
   * @returns [N, C, H, W] flattened
   * @throws InputError where the engine cannot run it
   */
  vjp?(
    x: Float32Array,
    t: Float32Array,
    u: Float32Array,
    labels?: Int32Array,
  ): Promise<Float32Array>;
}
