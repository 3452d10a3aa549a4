/**
 * Training from code: what the `train` command calls.
 *
 * @example
 * ```ts ignore
 * import { backendByName, parseTrainingRecipe, train } from "@denoise/denoise/train";
 * const { weights } = await train({
 *   recipe: parseTrainingRecipe({ data: "my-pictures/", size: 32, steps: 2000 }),
 *   folder: "run",
 *   backend: await backendByName("native"),
 *   onProgress: ({ step, loss }) => console.log(step, loss),
 * });
 * ```
 *
 * @module
 */
export { train } from "./run/train.ts";
export type { RunOptions, RunResult } from "./run/train.ts";
export type { Progress } from "./run/loop.ts";
export { parseTrainingRecipe } from "./recipe.ts";
export type { TrainingRecipe } from "./recipe.ts";
export type { DataPlugin, Draw, DrawnPicture } from "./data/plugin.ts";
export type { DataOptions, Split } from "./data/data_set.ts";
export { backendByName, type SelectOptions } from "../backends/select.ts";
export type {
  Backend,
  FlatParams,
  GraphWeights,
  Session,
  SessionOptions,
  Tensor,
  TensorData,
  Tensors,
} from "../backends/backend.ts";
export type {
  AttributeValue,
  ConstantData,
  Dim,
  ElementType,
  Node,
  Shape,
  Value,
} from "../graph/value.ts";
export type { Graph } from "../graph/graph.ts";
export type { DownloadOptions, DownloadProgress } from "../weights/find/download.ts";
export type { NetworkKeys, TrainingField } from "../networks/architecture.ts";
export type { Field, Type } from "../schema.ts";
