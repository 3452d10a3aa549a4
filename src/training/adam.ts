/** Adam and AdamW over one flat vector, as graph operations. */

/** PyTorch's defaults where left out. */
export interface AdamOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /**
   * AdamW's decoupled decay (Loshchilov & Hutter 2019); default 0. Parameters with fewer than two
   * axes, which are biases and norms, do not decay.
   */
  readonly weightDecay?: number;
}
