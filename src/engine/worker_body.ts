/** A thread of a team, whatever kind of worker it is in: takes memories, and runs commands in them. */
import { instantiate, type Kernels } from "./kernels_module.ts";

/** What a team asks of each of its threads. */
export type ThreadRequest =
  | { kind: "start"; thread: number; threads: number; kernels: ArrayBuffer }
  | { kind: "open"; memory: WebAssembly.Memory; id: number }
  | { kind: "run"; id: number; at: number; run: number }
  | { kind: "close"; id: number };

/** What a thread says: that it listens, or how a run ended. */
export type ThreadReply =
  | { kind: "ready" }
  | { kind: "ran"; run: number }
  | { kind: "failed"; run: number; message: string };

/** Answers requests through `post`. */
export function threadBody(post: (reply: ThreadReply) => void): (request: ThreadRequest) => void {
  const opened = new Map<number, Kernels>();
  let module: WebAssembly.Module;
  let thread = 0;
  let threads = 1;
  return (request) => {
    switch (request.kind) {
      case "start":
        ({ thread, threads } = request);
        module = new WebAssembly.Module(request.kernels);
        break;
      case "open":
        opened.set(request.id, instantiate(module, request.memory));
        break;
      case "run":
        try {
          opened.get(request.id)!.run(request.at, thread, threads);
          post({ kind: "ran", run: request.run });
        } catch (error) {
          post({ kind: "failed", run: request.run, message: (error as Error).message });
        }
        break;
      case "close":
        opened.delete(request.id);
    }
  };
}
