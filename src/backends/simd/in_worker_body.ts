/** The worker's side of `in_worker.ts`. */
import type { Session } from "../backend.ts";
import type { WorkerReply, WorkerRequest } from "./in_worker.ts";
import { simdInline } from "./inline.ts";

/** What a worker's global object has; a page's types do not know it. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<[number, WorkerRequest]>) => void) | null;
  postMessage(reply: WorkerReply, transfer?: Transferable[]): void;
}

/** Answers the page that has started this worker. */
export function serveSimd(): void {
  const scope = globalThis as unknown as WorkerScope;
  const sessions = new Map<number, Promise<Session>>();
  const answer = async (to: number, request: WorkerRequest): Promise<void> => {
    const { session } = request;
    if (request.kind === "create") {
      const { graph, weights, options } = request;
      sessions.set(session, simdInline(options).createSession(graph, weights));
      const { inputNames, outputNames } = await sessions.get(session)!;
      const created = { inputNames: [...inputNames], outputNames: [...outputNames] };
      return scope.postMessage({ to, created });
    }
    const opened = await sessions.get(session);
    if (request.kind === "close") {
      sessions.delete(session);
      await opened?.close();
      return scope.postMessage({ to, closed: true });
    }
    const results = await opened!.run(request.feeds);
    const buffers = Object.values(results).map(({ data }) => data.buffer as ArrayBuffer);
    scope.postMessage({ to, results }, buffers);
  };
  scope.onmessage = ({ data: [to, request] }) => {
    answer(to, request).catch((error: Error) => scope.postMessage({ to, error: error.message }));
  };
}
