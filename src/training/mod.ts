/**
 * Training from code: what the `train` command calls.
 *
 * @example
 * ```ts ignore
 * import { backendByName, parseRecipe, train } from "@denoise/denoise/train";
 * const { weights } = await train({
 *   recipe: parseRecipe({ data: "my-pictures/", size: 32, steps: 2000 }),
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
export { parseRecipe } from "./recipe.ts";
export type { Recipe } from "./recipe.ts";
export type { DataPlugin, Draw, DrawnPicture } from "./data/plugin.ts";
export { backendByName } from "../backends/select.ts";
export type { Backend, SessionOptions } from "../backends/backend.ts";
export type { DownloadProgress } from "../weights/find/download.ts";
