/** What a request may say: validation and /openapi.json both come from these schemas. */
import { z } from "npm:zod@4.6.7";
import { type OptionSchema, SCHEDULE_NAMES } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import { MAX_SEED } from "../../recipe/recipe.ts";
import { listed } from "../problem.ts";
import { type Catalog, MAX_SCALE } from "../work/recipe.ts";
import { labelNames } from "../work/served_model.ts";
import { once } from "./once.ts";

type Shape = Record<string, z.ZodType>;

/** Text becomes the number that it spells, then meets the schema. */
export function numberFromText(schema: z.ZodType): z.ZodType {
  const spelt = (text: unknown) => typeof text === "string" && NUMBER.test(text);
  return z.preprocess((text) => spelt(text) ? Number(text) : text, schema);
}

/** "true" and "false" become what they say. */
export function flagFromText(schema: z.ZodType): z.ZodType {
  const flags: Record<string, boolean> = { true: true, false: false };
  return z.preprocess((text) => typeof text === "string" ? flags[text] ?? text : text, schema);
}

/** A seed in zod's words; {@link MAX_SEED} is the rule. */
export const seedNumber = (): z.ZodType => z.int().min(0).max(MAX_SEED);

const NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d{1,5})?$/i;

/** A plug-in's option in zod's words. */
function optionType({ type, description, minimum, maximum, enum: values }: OptionSchema) {
  if (values) return z.literal([...values]).describe(description);
  if (type === "boolean") return z.boolean().describe(description);
  if (type === "string") return z.string().max(1000).describe(description);
  let number = type === "integer" ? z.int() : z.number();
  if (minimum !== undefined) number = number.min(minimum);
  if (maximum !== undefined) number = number.max(maximum);
  return number.describe(description);
}

/** Every plug-in option by name; one name may mean something else to another scheduler. */
function optionFields(catalog: Catalog, reserved: Shape): Shape {
  const types = new Map<string, Map<string, z.ZodType>>();
  for (const { name: scheduler, options = {} } of Object.values(catalog.schedulers)) {
    for (const [name, option] of Object.entries(options)) {
      if (Object.hasOwn(reserved, name)) {
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
  const longest = Math.max(100, ...labels.map((label) => label.length));
  return {
    scheduler: z.enum(Object.keys(schedulers)).describe("the sampler; default: the weights' own"),
    schedule: z.enum(SCHEDULE_NAMES).describe(
      "another noise schedule under the sampler; default: the sampler's, else the weights'",
    ),
    steps: z.int().min(1).max(limits.maxSteps).describe("denoising steps"),
    guidance: z.number().min(0).max(20).describe("classifier-free guidance; 1 is none"),
    guided: z.string().max(100).describe(
      "the timesteps at which it guides, as 170-880; default: the weights' own, else all",
    ),
    label: z.string().min(1).max(2 * longest + 1).describe(
      labels.length
        ? `a class, or two with + between: ${listed(labels)}`
        : "a class, by name or index, or two with + between",
    ),
    mix: z.number().min(0).max(1).describe(
      "how much there is of the second label, or of the other seed's picture; default 0.5",
    ),
  };
}

const weights = z.string().min(1).max(200).describe(
  "loaded weights by name, or name@hash to pin them; default: the first",
);

/** The fields of a generation's body beside the prompt; the last ones are there for OpenAI's clients. */
function bodyFields({ limits }: Catalog, choices: Shape): Shape {
  return {
    model: weights,
    weights: weights.describe("the same as model, by the name it has in addresses; goes before it"),
    ...choices,
    label: z.union([choices.label, z.int().min(0)]).describe(choices.label.description!),
    seed: z.union([seedNumber(), z.string().min(1).max(limits.maxNameLength)])
      .describe("the first image's seed, the next ones count up; a name is hashed"),
    with: z.union([seedNumber(), z.string().min(1).max(limits.maxNameLength)])
      .describe("another seed or name, with which every image is mixed"),
    n: z.int().min(1).max(limits.maxImages).describe("images"),
    size: z.string().max(20).describe(
      '"auto", or "128x128": enlarged by the largest whole number, its ground around it',
    ),
    response_format: z.enum(["b64_json", "url"]),
    stream: z.boolean().describe("answers with server-sent events"),
    partial_images: z.int().min(0).max(3).describe("previews in a stream, for each image"),
    output_format: z.literal("png"),
    output_compression: z.int().min(0).max(100).describe("has no effect on PNG"),
    quality: z.enum(["auto", "standard", "hd", "low", "medium", "high"]).describe("has no effect"),
    style: z.enum(["vivid", "natural"]).describe("has no effect"),
    background: z.enum(["auto", "opaque"]),
    moderation: z.enum(["auto", "low"]).describe("has no effect"),
    user: z.string().max(200).describe("has no effect"),
  };
}

/** The schemas for one catalog. What an option may be is looked at once its scheduler is known. */
export interface Schemas {
  picture(): z.ZodObject;
  generation(): z.ZodObject;
  /** The same with every option's type, for descriptions. */
  readonly described: { picture(): z.ZodObject; generation(): z.ZodObject };
  /** Names of plug-in options among the fields. */
  readonly optionNames: ReadonlySet<string>;
}

let last: { readonly of: Catalog; readonly labels: string; readonly schemas: Schemas } | undefined;

/** The schemas for one catalog, or those made last where they would be the same. */
export function schemasOf(catalog: Catalog): Schemas {
  const labels = JSON.stringify([...catalog.models.values()].map(labelNames));
  const same = last?.labels === labels && last.of.schedulers === catalog.schedulers &&
    JSON.stringify(last.of.limits) === JSON.stringify(catalog.limits);
  if (!same) {
    last = { of: { ...catalog, models: new Map() }, labels, schemas: createSchemas(catalog) };
  }
  return last!.schemas;
}

function createSchemas(catalog: Catalog): Schemas {
  const choices = choiceFields(catalog);
  const addressed: Shape = {
    weights,
    ...choices,
    with: z.string().min(1).max(catalog.limits.maxNameLength).describe(
      "another seed or name, with which the picture is mixed; its own class comes with it",
    ),
    scale: z.int().min(1).max(MAX_SCALE).describe("enlarges every pixel to scale × scale"),
    size: z.string().max(20).describe(
      "128, or 128x96: enlarged by the largest whole number, its ground around it",
    ),
  };
  const signed: Shape = {
    expires: z.int().describe("signed address: seconds since 1970 until which it is good"),
    sig: z.string().max(100).describe("signed address: HMAC-SHA256 of path and query"),
  };
  const body = bodyFields(catalog, choices);
  const prompt = z.string().min(1).max(catalog.limits.maxNameLength).describe(
    "a class's name selects it; any other text is hashed to the seed",
  );
  const reserved = { ...addressed, ...signed, ...body, ...eventFields.shape, prompt };
  const options = optionFields(catalog, reserved);
  const unread = Object.fromEntries(Object.keys(options).map((name) => [name, z.unknown()]));
  const picture = (options: Shape) =>
    z.strictObject({
      ...each({ ...addressed, ...options, ...signed }, (schema, name) =>
        (NUMERIC.has(name) ? numberFromText(schema) : schema).optional()),
    });
  // Clients write null for what they leave out.
  const generation = (options: Shape) =>
    z.strictObject({ prompt, ...each({ ...body, ...options }, (schema) => schema.nullish()) });
  return {
    picture: once(() => picture(unread)),
    generation: once(() => generation(unread)),
    described: {
      picture: once(() => picture(options)),
      generation: once(() => generation(options)),
    },
    optionNames: new Set(Object.keys(options)),
  };
}

/** Fields of an address that are numbers. */
const NUMERIC = new Set(["steps", "guidance", "mix", "scale", "expires"]);

/** Fields of the event stream's address beside those of a picture's. */
export const eventFields = z.object({
  preview: z.enum(["x_0", "both", "none"]).optional().describe(
    "pictures in each event: the estimate of x_0 (default), x_t beside it, or none",
  ),
});

/** An object with other values; a schema's description stays in sight. */
function each<From, To>(
  shape: Readonly<Record<string, From>>,
  change: (value: From, name: string) => To,
): Record<string, To> {
  return Object.fromEntries(
    Object.entries(shape).map(([name, value]) => {
      const changed = change(value, name);
      const described = value instanceof z.ZodType && value.description !== undefined &&
        changed instanceof z.ZodType;
      return [name, described ? changed.describe(value.description!) as To : changed];
    }),
  );
}

/** The parameters of an address; a name that is repeated is a list, which no schema takes. */
export function queryOf(url: URL): Record<string, unknown> {
  const query = new Map<string, unknown>();
  for (const [name, value] of url.searchParams) {
    query.set(name, query.has(name) ? [] : value);
  }
  return Object.fromEntries(query);
}
