/** One picture in the making, and everybody who waits for it. */

export interface SharedRun<T> {
  readonly picture: Promise<T>;
  /** Ends the work. */
  readonly controller: AbortController;
  waiters: number;
}

/** Waits with others for one picture; the last to leave ends the work. */
export function waitFor<T>(run: SharedRun<T>, signal: AbortSignal): Promise<T> {
  run.waiters++;
  return new Promise((resolve, reject) => {
    const leave = () => {
      signal.removeEventListener("abort", gone);
      run.waiters--;
    };
    const gone = () => {
      leave();
      if (run.waiters === 0) run.controller.abort(signal.reason);
      reject(signal.reason);
    };
    if (signal.aborted) return gone();
    signal.addEventListener("abort", gone, { once: true });
    run.picture.then((png) => (leave(), resolve(png)), (error) => (leave(), reject(error)));
  });
}
