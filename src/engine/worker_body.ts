/** A thread of a team, whatever kind of worker it is in: takes memories, and runs commands in them. */
import { type Run, ThreadControl } from "./control.ts";
import { instantiate, type Kernels } from "./kernels_module.ts";

/** What a team sends each of its threads, in order; it runs commands without being sent for. */
export type ThreadRequest =
  | {
    kind: "start";
    thread: number;
    threads: number;
    kernels: ArrayBuffer;
    control: SharedArrayBuffer;
  }
  | { kind: "open"; memory: WebAssembly.Memory; id: number }
  | { kind: "close"; id: number };

/** What a thread says: that it listens, or that it can go on no more. */
export type ThreadReply = { kind: "ready" } | { kind: "failed"; message: string };

/** Answers requests through `post`. */
export function threadBody(post: (reply: ThreadReply) => void): (request: ThreadRequest) => void {
  const opened = new Map<number, Kernels>();
  let module: WebAssembly.Module;
  let control: ThreadControl;
  let thread = 0;
  let threads = 1;
  /** Requests so far. */
  let requests = 0;
  const perform = ({ memory, at, phase }: Run): boolean => {
    const kernels = opened.get(memory);
    kernels?.run(at, thread, threads, phase);
    return kernels !== undefined;
  };
  return (request) => {
    requests++;
    try {
      switch (request.kind) {
        case "start":
          ({ thread, threads } = request);
          module = new WebAssembly.Module(request.kernels);
          control = new ThreadControl(request.control);
          break;
        case "open":
          opened.set(request.id, instantiate(module, request.memory));
          break;
        case "close":
          opened.delete(request.id);
      }
      control.serve(requests, perform);
    } catch (error) {
      post({ kind: "failed", message: (error as Error).message });
    }
  };
}
