/** What is to be made: everything that decides a picture, and its text in a PNG. */
import type { SchedulerOptions } from "../diffusion/scheduler.ts";
import { type Guided, guidedType } from "../diffusion/guided.ts";
import { FieldError, InputError } from "../errors.ts";
import {
  type Field,
  type Fields,
  list,
  nullable,
  number,
  readFields,
  requireObject,
  text,
  type Type,
  whole,
} from "../schema.ts";
import { MAX_SEED, seedType } from "../diffusion/seed.ts";
import type { Mix } from "./mix.ts";
import type { Size } from "./size.ts";

export { DEFAULT } from "../weights/read/sampler.ts";
export { MAX_SEED };

/** The keyword of the PNG's text chunk. */
export const RECIPE_KEYWORD = "denoise";

/** How pictures are made, whichever they are; every default is filled in. */
export interface Method {
  /** SHA-256 of the weights. */
  readonly weights: string;
  /** What the weights were called where the picture was made. */
  readonly source?: string;
  /** The plug-in's name. */
  readonly scheduler: string;
  /** Which code of that name, where it is not built in. */
  readonly plugin?: string;
  /** Another noise schedule, where one was put under the sampler. */
  readonly schedule?: string;
  /** Steps of the sampler. */
  readonly steps: number;
  /** The timesteps, where they were given by hand. */
  readonly timesteps?: readonly number[];
  /** The plug-in's options, defaults included. */
  readonly options: SchedulerOptions;
  /** Guidance scale; 1 is off. */
  readonly guidance: number;
  /** The model's timesteps at which it is guided, from … to; left out, all. */
  readonly guided?: Guided;
  /** The class that was taken for none, where the weights did not say. */
  readonly nullLabel?: number;
  /** Every pixel became scale × scale pixels; left out it is 1. */
  readonly scale?: number;
  /** The file's width and height where they are no multiple: its ground is around it. */
  readonly size?: Size;
  /** The engine that ran it: another may round differently. */
  readonly backend?: string;
}

/** Which of a method's pictures. */
export interface Subject {
  /** 0 … {@link MAX_SEED}. */
  readonly seed: number;
  /** Its class, where the network knows any. */
  readonly label?: number;
  /** Which picture it is partly of. */
  readonly mix?: Mix;
  /** SHA-256 of what else it was made from, by name: x_T, a measurement, a mask. */
  readonly inputs?: Readonly<Record<string, string>>;
}

/** Everything that decides one picture's pixels. */
export interface Recipe extends Method, Subject {}

/**
 * The recipes of pictures that were made by one method and are side by side in one file, in order.
 * JSON escaped to ASCII, which is what a tEXt chunk holds everywhere.
 */
export function toText(recipes: readonly Recipe[]): string {
  const [{ seed: _, label: __, inputs: ___, mix: ____, ...first }] = recipes;
  const { weights, source, scheduler, schedule, steps, timesteps, options, ...rest } = first;
  const { guidance, guided, nullLabel, backend, scale, size, plugin } = rest;
  const labels = recipes.map(({ label }) => label);
  const mixes = recipes.map(({ mix = null }) => mix);
  const inputs = recipes.map((recipe) => recipe.inputs);
  const facts = {
    api: 1,
    ...{ weights, source, scheduler, schedule, steps, timesteps, options },
    seeds: recipes.map(({ seed }) => seed),
    labels: labels.includes(undefined) ? undefined : labels,
    mixes: mixes.every((mix) => mix === null) ? undefined : mixes,
    ...{ guidance, guided, nullLabel, backend, scale, size, plugin },
    inputs: inputs.includes(undefined) ? undefined : inputs,
  };
  return JSON.stringify(facts).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const optional = <T>(type: Type<T>): Field<T> => ({ type, optional: true });

/** A list, empty or not. */
function listOf(expected: string, item: Type<number>): Type<readonly number[]> {
  return {
    expected,
    accepts: (value): value is number[] => Array.isArray(value) && value.every(item.accepts),
    fromText: (text) => text,
  };
}

function record<V>(expected: string, fits: (value: unknown) => boolean) {
  return {
    expected,
    accepts: (value: unknown): value is Readonly<Record<string, V>> =>
      typeof value === "object" && value !== null && !Array.isArray(value) &&
      Object.values(value).every(fits),
    fromText: (text: string) => text,
  };
}

const noted: Fields<Mix> = {
  seed: optional(seedType),
  label: optional(whole(0)),
  share: { type: number(0, 1) },
};
const mixOrNone: Type<Mix | null> = nullable({
  expected: "{ seed?, label?, share }",
  accepts: (value): value is Mix => {
    try {
      readFields(value, noted, "");
      return true;
    } catch {
      return false;
    }
  },
  fromText: (text) => text,
});

const hashes = record<string>("hashes by name", (value) => typeof value === "string");
type File = Method & {
  readonly seeds: readonly number[];
  readonly labels?: readonly number[];
  readonly mixes?: readonly (Mix | null)[];
  readonly inputs?: readonly Readonly<Record<string, string>>[];
};

const fields: Fields<File> = {
  weights: { type: text() },
  source: optional(text()),
  scheduler: { type: text() },
  plugin: optional(text()),
  schedule: optional(text()),
  steps: { type: whole(0) },
  timesteps: optional(list(number())),
  options: {
    type: record<number | boolean | string>(
      "values by name",
      (value) => ["number", "boolean", "string"].includes(typeof value),
    ),
  },
  seeds: { type: listOf(`a list of seeds, each ${seedType.expected}`, seedType) },
  labels: optional(listOf("a list of classes", whole(0))),
  mixes: optional(list(mixOrNone)),
  guidance: { type: number() },
  guided: optional(guidedType),
  nullLabel: optional(whole(0)),
  scale: optional(whole(1)),
  size: optional({
    expected: "[width, height]",
    accepts: (value): value is Size =>
      Array.isArray(value) && value.length === 2 && value.every(whole(1).accepts),
    fromText: (text) => text,
  }),
  backend: optional(text()),
  inputs: optional(list(hashes)),
};

/**
 * Reads what {@link toText} wrote: a recipe a picture, in order. Keys it does not know are passed over.
 * @param where what to call the picture in messages
 * @throws InputError where the text is no recipe of this version
 */
export function fromText(json: string, where: string): Recipe[] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new InputError(`${where}: the recipe in the picture is damaged`);
  }
  const { api } = requireObject(value, `${where}: recipe`);
  if (api !== 1) throw new FieldError("api", "1, the recipe's version", api, `${where}: recipe`);
  const { seeds, labels, mixes, inputs, ...method } = readFields(value, fields, `${where}: recipe`);
  for (const [name, values] of Object.entries({ labels, mixes, inputs })) {
    if (values && values.length !== seeds.length) {
      throw new FieldError(name, `${seeds.length}, as many as seeds`, values, `${where}: recipe`);
    }
  }
  return seeds.map((seed, i) => ({
    ...method,
    seed,
    ...(labels && { label: labels[i] }),
    ...(mixes?.[i] && { mix: mixes[i] }),
    ...(inputs && { inputs: inputs[i] }),
  }));
}
