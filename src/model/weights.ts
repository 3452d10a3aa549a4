/** Weights of either kind: a U-Net's config and tensors, or a bare ONNX graph. */
import type { Backend, SessionOptions } from "../backend/backend.ts";
import type { Files } from "./files.ts";
import { readFolder, type WeightsFolder } from "./folder.ts";
import { type Model, openModel } from "./model.ts";
import type { OnnxFile } from "./onnx/file.ts";

/** What weights say before an engine has them. */
export type Weights = WeightsFolder | OnnxFile;

/** Reads and checks what {@link Files} hold. @throws InputError naming what does not fit. */
export async function readWeights(files: Files): Promise<Weights> {
  if (files.onnx === undefined) return await readFolder(files);
  const { readOnnx }: typeof import("./onnx/file.ts") = await import(
    new URL("./onnx/file.ts", import.meta.url).href
  );
  return readOnnx(files);
}

/** Puts weights on an engine. @throws InputError where a graph of an ONNX file does not run. */
export async function openWeights(
  weights: Weights,
  backend: Backend,
  options?: SessionOptions,
): Promise<Model> {
  if (!("onnx" in weights)) return await openModel(weights, backend, options);
  const { openOnnx }: typeof import("./onnx/network.ts") = await import(
    new URL("./onnx/network.ts", import.meta.url).href
  );
  return openOnnx(weights, backend, options);
}
