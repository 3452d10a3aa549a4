/** Runs by an engine that trains nothing, in a folder with pictures. */
import { parseTrainingRecipe, type TrainingRecipe } from "../src/training/recipe.ts";
import type { Progress } from "../src/training/run/loop.ts";
import { type RunOptions, train } from "../src/training/run/train.ts";
import { temporaryFolder } from "./cli.ts";
import { recordingEngine } from "./training_engine.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

/** A folder with twelve pictures of two classes, and runs over them. */
export async function runsPlace() {
  const folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["cat", "dog"], 6);
  const recipe = (keys: Partial<TrainingRecipe> = {}) =>
    parseTrainingRecipe(tinyRecipe, { data, steps: 4, sample_every: 0 }, keys);
  return {
    path: folder.path,
    data,
    recipe,
    async run(name: string, keys: Partial<TrainingRecipe> = {}, rest: Partial<RunOptions> = {}) {
      const engine = recordingEngine();
      const notices: string[] = [];
      const progress: Progress[] = [];
      const result = await train({
        recipe: recipe(keys),
        folder: `${folder.path}/${name}`,
        backend: engine,
        onNotice: (notice) => notices.push(notice),
        onProgress: (now) => progress.push(now),
        ...rest,
      });
      return { ...result, engine, notices, progress, path: `${folder.path}/${name}` };
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
