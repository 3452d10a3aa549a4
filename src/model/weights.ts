/** Weights of either kind: a U-Net's config and tensors, or a bare ONNX graph. */
import type { Files } from "./files.ts";
import { readFolder, type WeightsFolder } from "./folder.ts";
import type { OnnxFile } from "./onnx/file.ts";

/** What weights say before an engine has them. */
export type Weights = WeightsFolder | OnnxFile;

/** Reads and checks what {@link Files} hold. @throws InputError naming what does not fit. */
export async function readWeights(files: Files): Promise<Weights> {
  if (files.onnx === undefined) return await readFolder(files);
  const onnx: typeof import("./onnx/file.ts") = await import(
    new URL("./onnx/file.ts", import.meta.url).href
  );
  return onnx.readOnnx(files);
}
