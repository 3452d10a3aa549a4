/** One picture in the making, and everybody who waits for it. */

export interface Job<T> {
  readonly picture: Promise<T>;
  /** Ends the work. */
  readonly controller: AbortController;
  waiters: number;
}

/** Waits with others for one picture; the last to leave ends the work. */
export function waitFor<T>(job: Job<T>, signal: AbortSignal): Promise<T> {
  job.waiters++;
  return new Promise((resolve, reject) => {
    const leave = () => {
      signal.removeEventListener("abort", gone);
      job.waiters--;
    };
    const gone = () => {
      leave();
      if (job.waiters === 0) job.controller.abort(signal.reason);
      reject(signal.reason);
    };
    if (signal.aborted) return gone();
    signal.addEventListener("abort", gone, { once: true });
    job.picture.then((png) => (leave(), resolve(png)), (error) => (leave(), reject(error)));
  });
}
