/**
 * Our own WebAssembly, which gives the same bits everywhere, in a worker: the page stays free. This module
 * is the worker's, too.
 */
import { type Backend, serveSimd, simdWorker, WORKER_NAME } from "../../src/backends/inline.ts";

if ((globalThis as { name?: string }).name === WORKER_NAME && !("document" in globalThis)) {
  serveSimd();
}

/** Where there are no workers it runs in the calling thread. */
export function backend(): Promise<Backend> {
  return Promise.resolve(simdWorker({ worker: import.meta.url }));
}
