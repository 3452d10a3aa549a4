/**
 * onnxruntime-web on `navigator.gpu`, in the calling thread: the GPU computes, the thread is free
 * while it waits. Deno and browsers. The JSPI build is the smallest one with WebGPU.
 */
import * as ort from "npm:onnxruntime-web@1.30.0/jspi";
import { portable } from "../../onnx/mod.ts";
import type { Session } from "../backend.ts";
import { type OrtBackend, ortBackend } from "./onnx.ts";
import { commonOptions, createOrtSession, QueuedOrtSession } from "./ort.ts";
import { RunQueue } from "../queue.ts";

/** One queue for the module: two overlapping calls of onnxruntime's WebGPU hang, whichever they are. */
const device = new RunQueue();
const exclusively = <T>(job: () => Promise<T>): Promise<T> => device.add(job);

/**
 * A Backend over the GPU that `navigator.gpu` offers, a software one included.
 * The first run of a session compiles its shaders.
 */
export function webgpu(): OrtBackend {
  return ortBackend({
    name: "webgpu",
    lowering: portable,
    createOnnxSession(model: Uint8Array): Promise<Session> {
      return exclusively(async () => {
        if (!await globalThis.navigator.gpu?.requestAdapter()) {
          throw new Error(
            "webgpu: no GPU adapter was found; use the wasm or native backend, or install a driver " +
              "(a software one on Debian: apt install mesa-vulkan-drivers libegl1)",
          );
        }
        // Threads fail in this build under Deno, and the GPU does the work.
        ort.env.wasm.numThreads = 1;
        const session = await createOrtSession(ort, "webgpu", model, {
          ...commonOptions,
          enableMemPattern: false,
          executionProviders: ["webgpu"],
        });
        return new QueuedOrtSession(ort, "webgpu", session, exclusively);
      });
    },
  });
}
