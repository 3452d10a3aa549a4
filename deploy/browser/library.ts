/** mod.ts without what only a disc can give: loading plug-ins by their path. */
export { generate, type Picture } from "../../src/sampling/pictures.ts";
export { sample, type SampleFrame, type SampleOptions } from "../../src/sampling/sample.ts";
export { DEFAULT } from "../../src/recipe/recipe.ts";
export { load, type LoadOptions } from "../../src/model/load.ts";
export { type Model, openModel } from "../../src/model/model.ts";
export { type Files, filesAt, filesOf } from "../../src/weights/files.ts";
export { readFolder, type WeightsFolder } from "../../src/weights/read/folder.ts";
export { Batcher } from "../../src/sampling/batcher.ts";
export type { Backend } from "../../src/backends/backend.ts";
export { schedulers } from "../../schedulers/mod.ts";
export { toPixels } from "../../src/image/pixels.ts";
export { InputError } from "../../src/errors.ts";
