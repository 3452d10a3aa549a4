/** What one process is ready to do; every number can be set in `createApp({ limits })`. */
export interface Limits {
  /** Images in one request. */
  readonly maxImages: number;
  /** Steps of one image. */
  readonly maxSteps: number;
  /** Images × network evaluations of one request, 65,536 enlarged pixels counted as one; at most `maxQueue`. */
  readonly maxCost: number;
  /** Images × pixels of the finished, enlarged pictures of one request. */
  readonly maxPixels: number;
  /** Images × network evaluations admitted and not yet done, over all requests. */
  readonly maxQueue: number;
  /** Images between their first and their last step at one time; the rest are queued. */
  readonly maxRunning: number;
  /** Event streams that are open at one time; one client may have an eighth of them. */
  readonly maxStreams: number;
  /** Images in one network evaluation. */
  readonly maxBatch: number;
  /**
   * Milliseconds from its request after which an image is given up, read or not. An evaluation that takes longer is
   * taken for an engine that hangs.
   */
  readonly deadlineMs: number;
  /** Milliseconds that a request's body may take to arrive. */
  readonly bodyTimeoutMs: number;
  /** Bytes of one request's body. */
  readonly maxBodyBytes: number;
  /** Bytes of one form with pictures in it. */
  readonly maxUploadBytes: number;
  /** Milliseconds that such a form may take to arrive. */
  readonly uploadTimeoutMs: number;
  /** Bytes of finished PNGs kept in memory; 0 keeps none. */
  readonly cacheBytes: number;
  /** Network evaluations a minute that one client may ask for without a key or a signed address. */
  readonly publicCostPerMinute: number;
  /** Length of a name or a prompt, in UTF-16 units. */
  readonly maxNameLength: number;
}

/** What a small machine can do. */
export const defaultLimits: Limits = {
  maxImages: 10,
  maxSteps: 1000,
  maxCost: 4000,
  maxPixels: 4 * 1024 * 1024,
  maxQueue: 20_000,
  maxRunning: 64,
  maxStreams: 256,
  maxBatch: 16,
  deadlineMs: 60_000,
  bodyTimeoutMs: 5_000,
  maxBodyBytes: 16 * 1024,
  maxUploadBytes: 4 * 1024 * 1024,
  uploadTimeoutMs: 30_000,
  cacheBytes: 32 * 1024 * 1024,
  publicCostPerMinute: 12_000,
  maxNameLength: 1000,
};
