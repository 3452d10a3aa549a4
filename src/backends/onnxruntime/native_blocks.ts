/** Probes whether onnxruntime has blocked convolutions on this processor, and their block size. */
import type { Lowering } from "../../onnx/lowering.ts";
import { blocked } from "../../onnx/lowerings/blocked/mod.ts";
import { blockProbe } from "../../onnx/lowerings/blocked/probe.ts";
import { commonOptions, type OrtModule } from "./ort.ts";

/** The lowering of training graphs for this processor; undefined where it has no blocked form. */
export async function blockedLowering(ort: OrtModule): Promise<Lowering | undefined> {
  const { model, x, blockOf } = blockProbe();
  try {
    const session = await ort.InferenceSession.create(model, {
      ...commonOptions,
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
    });
    const { y } = await session.run({ x: new ort.Tensor("float32", x.data, [...x.dims]) });
    const block = blockOf(y.data as Float32Array);
    await session.release();
    return block === undefined ? undefined : blocked(block);
  } catch {
    // The operators are an inner matter of onnxruntime: without them the plain form still trains.
    return undefined;
  }
}
