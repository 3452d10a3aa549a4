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
  /** The plug-in's name. */
  readonly scheduler: string;
  /** Another noise schedule, where one was put under the sampler. */
  readonly schedule?: string;
  /** Network evaluations an image. */
  readonly steps: number;
  /** The timesteps, where they were given by hand. */
  readonly timesteps?: readonly number[];
  /** The plug-in's options, defaults included. */
  readonly options: Readonly<Record<string, number | boolean | string>>;
  /** A seed a picture, in the grid's order. */
  readonly seeds: readonly number[];
  /** A class a picture. */
  readonly labels?: readonly number[];
  /** Guidance scale; 1 is off. */
  readonly guidance: number;
  /** The class that was taken for none, where the weights did not say. */
  readonly nullLabel?: number;
  /** The engine that ran it. */
  readonly backend?: string;
}

/** Escaped to ASCII, which is what a tEXt chunk holds everywhere. */
export function recipeToText(recipe: Recipe): string {
  return JSON.stringify({ api: 1, ...recipe }).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const whole = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
const wholes = (x: unknown) => Array.isArray(x) && x.every(whole);
const text = (x: unknown) => typeof x === "string";
const optional = (fits: (x: unknown) => boolean) => (x: unknown) => x === undefined || fits(x);

/** What each key must be. */
const checks: { readonly [K in keyof Required<Recipe>]: (x: unknown) => boolean } = {
  weights: text,
  source: optional(text),
  scheduler: text,
  schedule: optional(text),
  steps: whole,
  timesteps: optional((x) => Array.isArray(x) && x.every(Number.isFinite)),
  options: (x) =>
    typeof x === "object" && x !== null && !Array.isArray(x) &&
    Object.values(x).every((v) => ["number", "boolean", "string"].includes(typeof v)),
  seeds: wholes,
  labels: optional(wholes),
  guidance: Number.isFinite,
  nullLabel: optional(whole),
  backend: optional(text),
};

/**
 * Reads what {@link recipeToText} wrote; keys it does not know are left out.
 * @param where what to call the picture in messages
 * @throws InputError where the text is not a recipe of this version.
 */
export function recipeFromText(json: string, where: string): Recipe {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(json);
  } catch {
    throw new InputError(`${where}: the recipe in the picture is damaged`);
  }
  if (value?.api !== 1) {
    throw new InputError(
      `${where}: the recipe has version ${value?.api}, version 1 is understood`,
    );
  }
  const recipe: Record<string, unknown> = {};
  for (const [key, fits] of Object.entries(checks)) {
    if (!fits(value[key])) {
      throw new InputError(`${where}: the recipe's ${key} is ${JSON.stringify(value[key])}`);
    }
    if (value[key] !== undefined) recipe[key] = value[key];
  }
  return recipe as unknown as Recipe;
}
