/** What training carries from step to step. */

/** Flat vectors in {@link ParamLayout}'s order. */
export interface TrainState {
  /** The parameters. */
  readonly theta: Float32Array;
  /** Adam's running means of g and of g² (Kingma & Ba 2015, alg. 1). */
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** The running mean of the parameters, which is what samples well. */
  readonly ema: Float32Array;
}

/** The state before the first step: no moments, the running mean at the parameters themselves. */
export function initialState(theta: Float32Array): TrainState {
  return {
    theta,
    m: new Float32Array(theta.length),
    v: new Float32Array(theta.length),
    ema: theta.slice(),
  };
}
