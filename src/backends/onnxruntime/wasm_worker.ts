/** The worker's side of `wasm.ts`: onnxruntime-web with all its threads, fed by messages. */
import { parentPort } from "node:worker_threads";
import * as ort from "npm:onnxruntime-web@1.30.0";
import { createOrtSession, type OrtSession, runOrt, wasmOptions } from "./ort.ts";
import { neverGrowSharedMemory } from "./preallocate_shared_memory.ts";
import { buffersOf, packOwn, type Reply, type Request, unpack } from "./worker_protocol.ts";

neverGrowSharedMemory();

const port = parentPort!;
const sessions = new Map<number, OrtSession>();

async function answer(request: Request): Promise<Reply> {
  const { id } = request;
  switch (request.kind) {
    case "create": {
      // onnxruntime starts its threads with its first session; wasm.ts starts a worker a count.
      ort.env.wasm.numThreads = request.options.threads;
      const session = await createOrtSession(
        ort,
        "wasm",
        new Uint8Array(request.model),
        wasmOptions,
      );
      sessions.set(request.session, session);
      const { inputNames, outputNames } = session;
      return {
        kind: "created",
        id,
        created: { inputNames: [...inputNames], outputNames: [...outputNames] },
      };
    }
    case "run": {
      const session = sessions.get(request.session);
      if (!session) throw new Error("wasm: the session is closed");
      const results = await runOrt(ort, "wasm", session, unpack(request.feeds));
      return { kind: "ran", id, results: packOwn(results) };
    }
    case "close": {
      const session = sessions.get(request.session);
      sessions.delete(request.session);
      await session?.release();
      return { kind: "closed", id };
    }
  }
}

/** Whether an error has left onnxruntime's memory in an unknown state. */
function isFatal(error: unknown): boolean {
  for (let e = error; e !== undefined; e = e instanceof Error ? e.cause : undefined) {
    if (e instanceof WebAssembly.RuntimeError || typeof e === "number") return true;
    if (e instanceof Error && /^Aborted\(|previous call to 'initWasm/.test(e.message)) return true;
  }
  return false;
}

// One request after another: creating a session while another runs is not safe.
let last: Promise<void> = Promise.resolve();
port.on("message", (request: Request) => {
  last = last.then(async () => {
    const reply = await answer(request).catch((error: Error): Reply => ({
      kind: "failed",
      id: request.id,
      message: error.message,
      fatal: isFatal(error),
    }));
    port.postMessage(reply, reply.kind === "ran" ? buffersOf(reply.results) : []);
  });
});
port.postMessage({ kind: "ready" } satisfies Reply);
