/** A diffusers folder's network as an ONNX file. */
import { emit, type Lowering } from "../../onnx/mod.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import { networkOf } from "../model.ts";

/** The network of a folder as serialised ONNX. */
export function emitModel(
  folder: WeightsFolder,
  lowering: Lowering,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const { graph, weights } = networkOf(folder);
  return emit(graph, { lowering, weights, name: folder.network.architecture.folder, metadata });
}
