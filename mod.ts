/**
 * Pixel diffusion models in Deno: load weights, sample them, look at every step.
 *
 * @example
 * ```ts
 * import { generate, load } from "@denoise/denoise";
 * await using model = await load("digits", { backend: "wasm" });
 * const pictures = await generate(model, { seeds: [1, 2], steps: 4 });
 * await Deno.writeFile("digit.png", await pictures[0].png());
 * ```
 *
 * Run as a program (`deno run -A mod.ts --help`) it is the command line.
 *
 * @module
 */
export { generate, type Picture } from "./src/sampling/pictures.ts";
export { sample, type SampleFrame, type SampleOptions } from "./src/sampling/sample.ts";
export type { Input, Inputs } from "./src/recipe/inputs.ts";
export { tensorInput } from "./src/recipe/inputs.ts";
export type { Label } from "./src/recipe/conditioning.ts";
export type { Mix, MixRequest } from "./src/recipe/mix.ts";
export type { Size } from "./src/recipe/size.ts";
export type { MethodRequest, NamedNetwork } from "./src/recipe/resolve.ts";
export { type BackendName, load, type LoadOptions } from "./src/model/load.ts";
export { builtInWeights } from "./src/weights/find/locate.ts";
export type { DownloadProgress } from "./src/weights/find/download.ts";
export type { Model } from "./src/model/model.ts";
export { openModel } from "./src/model/model.ts";
export { type FetchFile, type Files, filesAt, filesOf } from "./src/weights/files.ts";
export { readFolder, type ReadOptions, type WeightsFolder } from "./src/weights/read/folder.ts";
export type { Guided } from "./src/diffusion/guided.ts";
export type { Network, Recommendation } from "./src/model/network.ts";
export { Batcher, type BatcherOptions, type Evaluation } from "./src/sampling/batcher.ts";
export type { Call } from "./src/sampling/batcher.ts";
export type {
  Architecture,
  NetworkDefinition,
  NetworkInputs,
  NetworkKeys,
  TrainingField,
  TrainingKeys,
} from "./src/networks/architecture.ts";
export type { StoredTensor } from "./src/networks/match_tensors.ts";
export type { Distilled, WeightsCard } from "./src/weights/read/card.ts";
export type {
  AttributeValue,
  ConstantData,
  Dim,
  ElementType,
  Node,
  Shape,
  Value,
} from "./src/graph/value.ts";
export type { Graph } from "./src/graph/graph.ts";
export type { Emitter, Lowering, LowerOp, OnnxAttribute } from "./src/onnx/lowering.ts";
export type { DataPlugin, Draw, DrawnPicture } from "./src/training/data/plugin.ts";
export type { PlanRequest } from "./src/sampling/plan.ts";
export type { Conditioning } from "./src/recipe/conditioning.ts";
export { invert, type InvertRequest, slerp } from "./src/sampling/interpolate.ts";
export { createGenerator, type Generator, q_sample, scheduleFor } from "./src/diffusion/mod.ts";
export { type Pixels, toPixels } from "./src/image/pixels.ts";
export { fromText, type Method, type Recipe, type Subject, toText } from "./src/recipe/recipe.ts";
export type {
  Backend,
  FlatParams,
  GraphWeights,
  Session,
  SessionOptions,
  Tensor,
  TensorData,
  Tensors,
} from "./src/backends/backend.ts";
export type {
  Denoised,
  Frame,
  LinearOperator,
  Measurement,
  OptionSchema,
  PredictionType,
  Run,
  RunInputs,
  Schedule,
  Scheduler,
  SchedulerConfig,
  SchedulerOptions,
  TimestepSpacing,
  VarianceType,
  Vector,
} from "./src/diffusion/scheduler.ts";
export { schedulers } from "./schedulers/mod.ts";
export { FieldError, InputError } from "./src/errors.ts";
export type { Field, Type } from "./src/schema.ts";

if (import.meta.main) {
  const cli: typeof import("./src/cli/main.ts") = await import(
    new URL("./src/cli/main.ts", import.meta.url).href
  );
  await cli.main(Deno.args);
}
