/** `train --watch`: a page on this machine that shows the run. */
import type { WatchReply, WatchRequest } from "./worker.ts";

/** A page that is served. */
export interface Watch extends AsyncDisposable {
  readonly address: string;
}

/**
 * Serves the page of a run's folder, which need not be there yet.
 * @param port 0 takes any that is free
 * @throws Error where nothing can listen there
 */
export async function watchRun(folder: string, port: number): Promise<Watch> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url).href, { type: "module" });
  const died = Promise.withResolvers<never>();
  died.promise.catch(() => {});
  worker.onerror = (event) => {
    // Whatever becomes of the page, the run goes on.
    event.preventDefault();
    died.reject(new Error(event.message));
  };
  const ask = (request: WatchRequest): Promise<WatchReply> => {
    const answer = new Promise<WatchReply>((resolve) =>
      worker.onmessage = ({ data }) => resolve(data)
    );
    worker.postMessage(request);
    return Promise.race([answer, died.promise]);
  };
  try {
    const answer = await ask({ kind: "start", folder, port });
    if (answer.kind === "failed") throw new Error(answer.why);
    if (answer.kind !== "listening") throw new Error(`expected an address, found ${answer.kind}`);
    return {
      address: answer.address,
      async [Symbol.asyncDispose]() {
        await ask({ kind: "end" }).catch(() => {});
        worker.terminate();
      },
    };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}
