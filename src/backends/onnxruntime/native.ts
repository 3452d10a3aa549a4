/**
 * onnxruntime's native CPU build, for Deno and Node. The package is large (288 MB on disc, every
 * platform), so this file is reached by a computed import only.
 *
 * A run holds the calling thread until it is done: onnxruntime-node computes synchronously.
 */
import * as ort from "npm:onnxruntime-node@1.30.0";
import { portable } from "../../onnx/mod.ts";
import type { SessionOptions } from "../backend.ts";
import { blockedLowering } from "./native_blocks.ts";
import { type OrtBackend, ortBackend } from "./onnx.ts";
import { commonOptions, createOrtSession, QueuedOrtSession } from "./ort.ts";

const trainingLowering = await blockedLowering(ort);

/** A Backend over onnxruntime-node's CPU provider. */
export function native(): OrtBackend {
  return ortBackend({
    name: "native",
    lowering: portable,
    trainingLowering,
    async createOnnxSession(model: Uint8Array, options: SessionOptions = {}) {
      const session = await createOrtSession(ort, "native", model, {
        ...commonOptions,
        executionProviders: ["cpu"],
        intraOpNumThreads: options.threads ?? navigator.hardwareConcurrency,
        interOpNumThreads: 1,
        extra: { session: { intra_op: { allow_spinning: options.spin === false ? "0" : "1" } } },
      });
      return new QueuedOrtSession(ort, "native", session);
    },
  });
}
