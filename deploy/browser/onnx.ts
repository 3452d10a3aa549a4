/** Bare ONNX files in the page: a module of its own, because it is larger than denoise.js. */
import type { Backend, SessionOptions } from "../../src/backends/backend.ts";
import type { Files } from "../../src/weights/files.ts";
import type { Model } from "../../src/model/model.ts";
import { openOnnx, readOnnx } from "../../src/model/onnx/mod.ts";

/**
 * Loads the graph that `files.file` names, as `load` of denoise.js does with a folder.
 * @throws InputError naming the node, tensor, input or key that does not fit
 */
export async function loadOnnx(
  files: Files,
  backend: Backend,
  options?: SessionOptions,
): Promise<Model> {
  return openOnnx(await readOnnx(files), backend, options);
}
