/** What made a picture, as it travels inside the picture's PNG. */
import { InputError } from "../errors.ts";

/** The keyword of the PNG's text chunk. */
export const RECIPE_KEYWORD = "denoise";

/** Everything that decides a picture's pixels. */
export interface Recipe {
  /** SHA-256 of the weights. */
  readonly weights: string;
  /** What the weights were called where the picture was made. */
  readonly source?: string;
  readonly scheduler: string;
  readonly schedule?: string;
  readonly steps: number;
  readonly timesteps?: readonly number[];
  readonly options: Readonly<Record<string, number | boolean | string>>;
  readonly seeds: readonly number[];
  readonly labels?: readonly number[];
  readonly guidance: number;
  readonly nullLabel?: number;
  readonly backend?: string;
}

/** Escaped to ASCII, which is what a tEXt chunk holds everywhere. */
export function recipeToText(recipe: Recipe): string {
  return JSON.stringify({ api: 1, ...recipe }).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @throws InputError where the text is not a recipe of this version. */
export function recipeFromText(text: string, where: string): Recipe {
  const fail = (what: string): never => {
    throw new InputError(`${where}: ${what}`);
  };
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch {
    return fail("the recipe in the picture is damaged");
  }
  if (value?.api !== 1) fail(`the recipe has version ${value?.api}, version 1 is understood`);
  const whole = (x: unknown) => Number.isInteger(x) && (x as number) >= 0;
  const list = (x: unknown) => Array.isArray(x) && x.every(whole);
  const checks: Record<string, boolean> = {
    weights: typeof value.weights === "string",
    scheduler: typeof value.scheduler === "string",
    schedule: value.schedule === undefined || typeof value.schedule === "string",
    steps: whole(value.steps),
    timesteps: value.timesteps === undefined || Array.isArray(value.timesteps),
    options: typeof value.options === "object" && value.options !== null,
    seeds: list(value.seeds),
    labels: value.labels === undefined || list(value.labels),
    guidance: typeof value.guidance === "number",
  };
  for (const [key, fits] of Object.entries(checks)) {
    if (!fits) fail(`the recipe's ${key} is ${JSON.stringify(value[key])}`);
  }
  const { api: _, ...recipe } = value;
  return recipe as unknown as Recipe;
}
