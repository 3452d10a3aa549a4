/** The notices before a run: the data, the classes, the network and its length. */
import type { PictureSource } from "../data/data_set.ts";
import { sizeOf, type TrainingRecipe } from "../recipe.ts";
import type { Start } from "./start.ts";

/** How many left out files, and how many classes, are named one by one. */
const NAMED = 20;

/** The files that could not be read, and why. */
export function describeSkipped({ skipped }: PictureSource): string[] {
  const more = skipped.length - NAMED;
  return [
    ...skipped.slice(0, NAMED).map(({ reason }) => `left out: ${reason}`),
    ...(more > 0 ? [`left out: ${more} more`] : []),
  ];
}

/**
 * The pictures, the classes, the network and the length of a run.
 * @param data as it was read: `start` may have no use for its classes
 */
export function describeRun(recipe: TrainingRecipe, data: PictureSource, start: Start): string[] {
  const [height, width] = sizeOf(recipe);
  const colours = recipe.channels === 1 ? "grey" : "RGB";
  const images = recipe.batch * recipe.accumulate;
  const skipped = data.skipped.length;
  return [
    `${recipe.data}: ${countOf(data)}, brought to ${width}×${height} ${colours}` +
    (skipped > 0 ? `; ${group(skipped)} files left out` : ""),
    describeClasses(recipe, data, start),
    `${group(start.layout.size)} parameters; ${
      group(recipe.steps)
    } updates of ${images} pictures, ${timesEach(recipe.steps * images / data.length)}`,
  ];
}

/** How many pictures there are. */
export function countOf({ length }: Pick<PictureSource, "length">): string {
  return length === Infinity ? "pictures without end" : `${group(length)} pictures`;
}

function timesEach(times: number): string {
  if (times === 0) return "none of them twice";
  return `each picture about ${times < 10 ? times.toPrecision(2) : group(Math.round(times))} times`;
}

function describeClasses(
  { labels }: TrainingRecipe,
  data: PictureSource,
  { network }: Start,
): string {
  const names = data.labelNames;
  if (!names) return "no classes (subfolders are, where every picture lies in one)";
  const list = `${names.slice(0, NAMED).join(", ")}${names.length > NAMED ? " …" : ""}`;
  if (!labels) return `classes not learned, as the recipe says: ${list}`;
  if (network.classes !== null) return `${names.length} classes: ${list}`;
  return names.length === 1
    ? `one class, ${list}: nothing to tell apart, trained without`
    : `classes not learned, the network knows none: ${list}`;
}

/** 1234567 → 1,234,567. */
export function group(n: number): string {
  return n.toLocaleString("en-US");
}
