/** Weights of either kind: a network's config and tensors, or a bare ONNX graph. */
import type { Backend, SessionOptions } from "../backends/backend.ts";
import { InputError } from "../errors.ts";
import type { Files } from "../weights/files.ts";
import { readFolder, type ReadOptions, type WeightsFolder } from "../weights/read/folder.ts";
import { type Model, openModel } from "./model.ts";
import type { OnnxFile } from "./onnx/mod.ts";

/** What weights say before an engine has them. */
export type Weights = WeightsFolder | OnnxFile;

/** Reads and checks what {@link Files} hold. @throws InputError naming what does not fit. */
export async function readWeights(files: Files, options?: ReadOptions): Promise<Weights> {
  if (!files.file?.endsWith(".onnx")) return await readFolder(files, options);
  const { readOnnx } = await onnxModule(files.where + files.file);
  return readOnnx(files);
}

/**
 * Puts weights on an engine.
 * @param again reads the weights once more when gradients are asked for; left out, they are kept
 * @throws InputError where a graph of an ONNX file does not run
 */
export async function openWeights(
  weights: Weights,
  backend: Backend,
  options?: SessionOptions,
  again: () => Promise<Weights> = () => Promise.resolve(weights),
): Promise<Model> {
  if (!("onnx" in weights)) {
    return await openModel(weights, backend, options, again as () => Promise<WeightsFolder>);
  }
  const { openOnnx } = await onnxModule(weights.where);
  return openOnnx(weights, backend, options);
}

/** What reads ONNX files, which bundles leave out. @throws InputError where it is not there. */
async function onnxModule(where: string): Promise<typeof import("./onnx/mod.ts")> {
  const { href } = new URL("./onnx/mod.ts", import.meta.url);
  try {
    return await import(href);
  } catch (cause) {
    const reason = (cause as Error).message.replace(/\s+/g, " ");
    throw new InputError(
      `${where}: expected a diffusers folder, found an ONNX file, and what reads those cannot be loaded (${reason}); bundles leave it out: give the folder, or use loadOnnx of deploy/browser/onnx.ts`,
      { cause },
    );
  }
}
