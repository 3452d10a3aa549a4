/** What a request may say: validation and /openapi.json both come from these schemas. */
import { z } from "npm:zod@4.6.7";
import { type OptionSchema, SCHEDULE_NAMES, type SchedulerOptions } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import type { Catalog, RecipeRequest } from "../work/recipe.ts";
import { labelNames } from "../work/served_model.ts";
import { MAX_SEED } from "../work/seed.ts";

type Shape = Record<string, z.ZodType>;

/** Text from an address becomes the number or boolean that it spells, then meets the schema. */
function fromText<S extends z.ZodType>(schema: S): z.ZodType {
  return z.preprocess((text) => {
    if (typeof text !== "string") return text;
    if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
    return text === "true" ? true : text === "false" ? false : text;
  }, schema);
}

/** A plug-in's option in zod's words. */
function optionType({ type, description, minimum, maximum, enum: values }: OptionSchema) {
  if (values) return z.literal([...values]).describe(description);
  if (type === "boolean") return z.boolean().describe(description);
  if (type === "string") return z.string().max(100).describe(description);
  let number = type === "integer" ? z.int() : z.number();
  if (minimum !== undefined) number = number.min(minimum);
  if (maximum !== undefined) number = number.max(maximum);
  return number.describe(description);
}

/** Every plug-in option by name; one name with two meanings takes either, `resolve` knows which. */
function optionFields(catalog: Catalog, reserved: Shape): Record<string, z.ZodType> {
  const types = new Map<string, Map<string, z.ZodType>>();
  for (const { name: scheduler, options = {} } of Object.values(catalog.schedulers)) {
    for (const [name, option] of Object.entries(options)) {
      if (name in reserved) {
        throw new InputError(
          `scheduler "${scheduler}": its option "${name}" has the name of a request parameter`,
        );
      }
      const distinct = types.get(name) ?? new Map();
      types.set(name, distinct.set(JSON.stringify(option), optionType(option)));
    }
  }
  return Object.fromEntries([...types].map(([name, distinct]) => {
    const [first, ...rest] = distinct.values();
    return [name, rest.length ? z.union([first, ...rest]) : first];
  }));
}

function choiceFields({ models, schedulers, limits }: Catalog): Shape {
  const labels = [...new Set([...models.values()].flatMap(labelNames))];
  return {
    scheduler: z.enum(Object.keys(schedulers)).describe("the sampler; default: the weights' own"),
    schedule: z.enum(SCHEDULE_NAMES).describe(
      "another noise schedule under the sampler; default: the sampler's, else the weights'",
    ),
    steps: z.int().min(1).max(limits.maxSteps).describe("denoising steps"),
    guidance: z.number().min(0).max(20).describe("classifier-free guidance; 1 is none"),
    label: z.string().min(1).max(100).describe(
      labels.length ? `a class: ${labels.slice(0, 20).join(", ")}` : "a class, by name or index",
    ),
  };
}

const weights = z.string().min(1).max(200).describe(
  "loaded weights by name, or name@hash to pin them; default: the first",
);

/** The schemas for one catalog. */
export interface Schemas {
  readonly picture: z.ZodObject;
  readonly generation: z.ZodObject;
  /** Names of plug-in options among the fields. */
  readonly optionNames: ReadonlySet<string>;
}

export function createSchemas(catalog: Catalog): Schemas {
  const choices = choiceFields(catalog);
  const { limits } = catalog;
  const addressed: Shape = {
    weights,
    ...choices,
    scale: z.int().min(1).max(64).describe("enlarges every pixel to scale × scale"),
  };
  const signed: Shape = {
    expires: z.int().describe("signed address: seconds since 1970 until which it is good"),
    sig: z.string().max(100).describe("signed address: HMAC-SHA256 of path and query"),
  };
  const body: Shape = {
    model: weights,
    weights: weights.describe("the same as model, by the name it has in addresses; goes before it"),
    ...choices,
    label: z.union([choices.label, z.int().min(0)]).describe(choices.label.description!),
    seed: z.union([z.int().min(0).max(MAX_SEED), z.string().min(1).max(limits.maxNameLength)])
      .describe("the first image's seed, the next ones count up; a name is hashed"),
    n: z.int().min(1).max(limits.maxImages).describe("images"),
    size: z.string().max(20).describe('"auto", or an integer multiple of the weights\' size'),
    response_format: z.enum(["b64_json", "url"]),
    stream: z.boolean().describe("answers with server-sent events"),
    partial_images: z.int().min(0).max(3).describe("previews in a stream, for each image"),
    output_format: z.literal("png"),
    quality: z.enum(["auto", "standard", "hd", "low", "medium", "high"]).describe("has no effect"),
    background: z.enum(["auto", "opaque"]),
    moderation: z.enum(["auto", "low"]).describe("has no effect"),
    user: z.string().max(200).describe("has no effect"),
  };
  const options = optionFields(catalog, { ...addressed, ...signed, ...body, prompt: weights });
  return {
    picture: z.strictObject(
      optional({ ...addressed, ...options, ...signed }, fromText, ["weights", "label", "sig"]),
    ),
    generation: z.strictObject({
      prompt: z.string().min(1).max(limits.maxNameLength).describe(
        "a class's name selects it; any other text is hashed to the seed",
      ),
      ...nullish({ ...body, ...options }),
    }),
    optionNames: new Set(Object.keys(options)),
  };
}

function optional(
  shape: Shape,
  read: (schema: z.ZodType) => z.ZodType,
  textual: readonly string[],
): Shape {
  return Object.fromEntries(
    Object.entries(shape).map(([name, schema]) => {
      const readable = textual.includes(name) ? schema : read(schema);
      return [name, described(readable.optional(), schema)];
    }),
  );
}

/** Keeps a description in sight through wrappers. */
function described(wrapped: z.ZodType, { description }: z.ZodType): z.ZodType {
  return description === undefined ? wrapped : wrapped.describe(description);
}

/** Clients write null for what they leave out. */
function nullish(shape: Shape): Shape {
  return Object.fromEntries(
    Object.entries(shape).map(([name, schema]) =>
      [name, described(schema.nullish(), schema)] as const
    ),
  );
}

/** The parameters of an address; a name that is repeated is a list, which no schema takes. */
export function queryOf(url: URL): Record<string, unknown> {
  const query: Record<string, unknown> = {};
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name);
    Object.defineProperty(query, name, {
      value: values.length === 1 ? values[0] : values,
      enumerable: true,
      configurable: true,
    });
  }
  return query;
}

/** The fields that make a recipe, out of validated ones. */
export function recipeRequest(
  fields: Record<string, unknown>,
  optionNames: ReadonlySet<string>,
): RecipeRequest {
  const { weights, model, scheduler, schedule, steps, label, guidance, scale } = fields;
  const options = Object.fromEntries(
    Object.entries(fields).filter(([name]) => optionNames.has(name)),
  ) as SchedulerOptions;
  return {
    weights: weights ?? model,
    scheduler,
    schedule,
    steps,
    label,
    guidance,
    scale,
    options,
  } as RecipeRequest;
}
