/** Pictures given back what they lost: OpenAI's edits and variations, and restorations of every kind. */
import type { Context } from "npm:hono@4.13.19";
import { z } from "npm:zod@4.6.7";
import { hasTransparency } from "../../restoration/fit.ts";
import { readBlur, readNoise, readScale } from "../../restoration/spelling.ts";
import { invalid, refusing } from "../problem.ts";
import type { Charge } from "../work/cost.ts";
import { base64 } from "../work/picture.ts";
import { labelNames } from "../work/served_model.ts";
import { generationEvents } from "./generation_events.ts";
import { once } from "./once.ts";
import { describeImage, type Generation } from "./read_generation.ts";
import {
  type AnswerFields,
  type Damaged,
  type Method,
  readRestoration,
  requireSampler,
  restoringWeights,
} from "./restoration_request.ts";
import { type Json, jsonSchema, type Route } from "./route.ts";
import { flagFromText, numberFromText, seedNumber } from "./schema.ts";
import { chargeTo, type Services, streamTo, whileConnected } from "./services.ts";
import { type Form, readForm, readUpload } from "./uploads.ts";
import { validate } from "./validate.ts";

/** Bytes of an upload whose reading is charged as an evaluation. */
const BYTES_PER_EVALUATION = 65_536;

interface Kind {
  readonly path: string;
  readonly operationId: string;
  readonly summary: string;
  schema(): z.ZodObject;
  /** Files that a form may bring. */
  readonly files: Readonly<Record<string, string>>;
  /** @param charge told what the pictures cost to decode */
  read(services: Services, form: Form, fields: Fields, charge: Charge): Promise<Asked>;
}

type Fields = AnswerFields & Readonly<Record<string, unknown>>;

interface Asked {
  readonly pictures: readonly Damaged[];
  readonly fields?: AnswerFields;
  readonly method: Method;
}

export function restorationRoutes(services: Services): Route[] {
  return kinds(services).map((kind) => ({
    method: "post" as const,
    path: kind.path,
    handle: (c: Context) => answer(services, kind, c),
    operation: () => ({
      operationId: kind.operationId,
      summary: kind.summary,
      security: services.access.security("generation"),
      requestBody: {
        required: true,
        content: { "multipart/form-data": { schema: formSchema(kind) } },
      },
      responses: {
        "200": {
          description: "pictures, or with stream their events",
          content: {
            "application/json": { schema: { type: "object" } },
            "text/event-stream": { schema: { type: "string" } },
          },
        },
      },
      problems: [401, 404, 408, 413, 415, 422, 429, 500, 503],
    }),
  }));
}

async function answer(services: Services, kind: Kind, c: Context): Promise<Response> {
  const standing = await services.access.generation(c.req.raw);
  const form = await readForm(c.req.raw, services.limits);
  const fields = validate(kind.schema(), form.fields) as Fields;
  const stray = Object.keys(form.files).find((name) => !Object.hasOwn(kind.files, name));
  if (stray !== undefined) {
    throw invalid(stray, `no such file, but ${Object.keys(kind.files).join(", ")}`, "a file");
  }
  const charge = chargeTo(services, c, standing);
  const bytes = Object.values(form.files).flat().reduce((sum, { size }) => sum + size, 0);
  const reading = 1 + Math.floor(bytes / BYTES_PER_EVALUATION);
  services.pictures.admission.check(reading);
  charge(reading);
  const asked = await kind.read(services, form, fields, charge);
  const generation = await readRestoration(
    services,
    { ...fields, ...asked.fields },
    asked.pictures,
    asked.method,
    charge,
  );
  if (fields.stream) {
    return streamTo(services, c, standing, (controller, charge) => {
      const runs = services.pictures.steps(generation.orders, controller, charge);
      return generationEvents(services, generation, runs, c.get("requestId"), "image_edit");
    });
  }
  const data = await whileConnected(
    c.req.raw,
    (signal) => pictures(services, generation, charge, signal),
  );
  const created = Math.floor(Date.now() / 1000);
  return c.json({ created, size: generation.size, output_format: "png", data }, 200, {
    "cache-control": "no-store",
  });
}

async function pictures(
  services: Services,
  { orders, model }: Generation,
  charge: (cost: number) => void,
  signal: AbortSignal,
): Promise<Record<string, unknown>[]> {
  const pngs = await Promise.all(services.pictures.pictures(orders, signal, charge));
  return pngs.map((png, i) => ({
    b64_json: base64(png),
    ...describeImage(orders[i].recipe, model),
    etag: orders[i].etag,
  }));
}

/** The fields of a form as OpenAPI writes them, files included. */
function formSchema({ schema, files }: Kind): Json {
  const described = jsonSchema(schema()) as { properties?: Record<string, Json> };
  const properties = Object.entries(files).map(([name, description]) => [
    name,
    { type: "string", format: "binary", description },
  ]);
  return {
    ...described,
    required: ["image"],
    properties: { ...Object.fromEntries(properties), ...described.properties },
  };
}

async function imagesOf({ files }: Form, { limits }: Services, charge: Charge) {
  const { image = [] } = files;
  if (image.length === 0) throw invalid("image", "a file, a PNG or JPEG picture", undefined);
  if (image.length > limits.maxImages) {
    throw invalid("image", `at most ${limits.maxImages} files`, image.length);
  }
  const read = [];
  for (const file of image) read.push(await readUpload(file, "image", limits, charge));
  return read;
}

async function maskOf({ files }: Form, { limits }: Services, charge: Charge) {
  const { mask = [] } = files;
  if (mask.length > 1) throw invalid("mask", "one file", mask.length);
  return mask.length === 0 ? undefined : await readUpload(mask[0], "mask", limits, charge);
}

function kinds({ limits, catalog }: Services): Kind[] {
  const number = (schema: z.ZodType, text: string) =>
    numberFromText(schema).optional().describe(text);
  const unread = (most = 200) => z.string().max(most).optional().describe("has no effect");
  const answers = once(() => ({
    model: z.string().min(1).max(200).optional().describe(
      "loaded weights; default: the first that answer at every timestep",
    ),
    n: number(z.int().min(1).max(limits.maxImages), "answers to each picture"),
    size: z.string().max(20).optional().describe('"auto", or a multiple of the weights\' size'),
    seed: number(seedNumber(), "of the first answer; default: any"),
    label: z.string().min(1).max(1000).optional().describe("what the picture shows"),
    guidance: number(z.number().min(0).max(20), "how much the label counts; 1 is off"),
    steps: number(z.int().min(1).max(limits.maxSteps), "default: by what is missing"),
    stream: flagFromText(z.boolean()).optional().describe("answers with server-sent events"),
    partial_images: number(
      z.int().min(0).max(limits.maxSteps),
      "previews of each answer in a stream, at most one a step; OpenAI's client asks for up to 3",
    ),
    response_format: z.literal("b64_json").optional(),
    output_format: z.literal("png").optional(),
    user: unread(),
  }));
  const method = once(() => ({
    sampler: z.string().min(1).max(100).optional().describe("default: by what is missing"),
    options: z.string().max(1000).optional().describe('options of the sampler, {"eta": 0.5}'),
  }));
  const prompt = once(() => z.string().max(catalog.limits.maxNameLength).optional());
  return [{
    path: "/v1/images/edits",
    operationId: "editImage",
    summary: "OpenAI's image edit: fills what is transparent in the mask, or in the image",
    files: {
      image: "one or several PNG or JPEG pictures",
      mask: "a PNG: transparent, or white where nothing is transparent, is filled anew",
    },
    schema: once(() =>
      z.strictObject({
        ...answers(),
        ...method(),
        prompt: prompt().describe("a class's name says what the picture shows; other text nothing"),
        quality: unread(),
        background: unread(),
        moderation: unread(),
        input_fidelity: unread(),
        output_compression: unread(),
      })
    ),
    async read(services, form, fields, charge) {
      const images = await imagesOf(form, services, charge);
      const mask = await maskOf(form, services, charge);
      const pictures = images.map((picture) => {
        const own = mask ?? (hasTransparency(picture) ? picture : undefined);
        if (!own) throw invalid("mask", "a file, or transparent pixels in the image", undefined);
        return { picture, degradation: {}, mask: { field: "mask", pixels: own } };
      });
      return { pictures, fields: labelFromPrompt(services, fields), method: methodOf(fields) };
    },
  }, {
    path: "/v1/images/variations",
    operationId: "varyImage",
    summary: "OpenAI's image variation: the picture noised to a level and drawn again",
    files: { image: "a PNG or JPEG picture" },
    schema: once(() =>
      z.strictObject({
        ...answers(),
        prompt: prompt(),
        strength: number(z.number().min(0.01).max(1), "near 0 leaves the picture, 1 forgets it"),
      })
    ),
    async read(services, form, fields, charge) {
      const images = await imagesOf(form, services, charge);
      return {
        pictures: images.map((picture) => ({ picture, degradation: {}, noise: 0 })),
        fields: labelFromPrompt(services, fields),
        method: {
          sampler: "sdedit",
          steps: fields.steps ?? 50,
          options: { strength: String(fields.strength ?? 0.5) },
        },
      };
    },
  }, {
    path: "/v1/restorations",
    operationId: "restore",
    summary: "Holes filled, blur and noise undone, small pictures enlarged, colours given back",
    files: {
      image: "PNG or JPEG pictures that have lost something",
      mask: "a PNG: transparent, or white where nothing is transparent, is missing",
    },
    schema: once(() =>
      z.strictObject({
        ...answers(),
        ...method(),
        scale: z.string().max(20).optional().describe("times smaller it is: 4, 4:mean, 4:bicubic"),
        blur: z.string().max(60).optional().describe("gaussian:2, uniform:9, motion:7:30"),
        colour: flagFromText(z.boolean()).optional().describe("whether its colours are gone"),
        noise: z.string().max(30).optional().describe("sigma, pixels from -1 to 1; or auto"),
      })
    ),
    async read(services, form, fields, charge) {
      const images = await imagesOf(form, services, charge);
      const mask = await maskOf(form, services, charge);
      const { scale, blur, colour, noise } = fields as Readonly<Record<string, string | undefined>>;
      const degradation = refusing(() => ({
        scale: scale === undefined ? undefined : readScale(scale, "scale"),
        blur: blur === undefined ? undefined : readBlur(blur, "blur"),
        colour: Boolean(colour),
      }));
      const level = refusing(() => noise === undefined ? undefined : readNoise(noise, "noise"));
      const pictures = images.map((picture): Damaged => {
        const own = mask ?? (hasTransparency(picture) ? picture : undefined);
        const hole = own && { field: "mask", pixels: own };
        return { picture, degradation, mask: hole, noise: level };
      });
      if (!mask && !scale && !blur && !colour && level === undefined && !pictures[0].mask) {
        throw invalid("mask", "what was lost: mask, scale, blur, colour or noise", undefined);
      }
      return { pictures, method: methodOf(fields) };
    },
  }];
}

function methodOf({ sampler, steps, options }: Fields): Method {
  return {
    sampler: refusing(() => requireSampler(sampler)),
    steps,
    options: options === undefined ? undefined : optionsOf(String(options)),
  };
}

/** A sampler's options in JSON, as the texts that every option is read from. */
function optionsOf(json: string): Record<string, string> {
  try {
    const value = JSON.parse(json);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, String(v)]));
    }
  } catch {
    // Told below.
  }
  throw invalid("options", 'a JSON object such as {"eta": 0.5}', json);
}

/** A prompt that is a class's name is the label, as for generations. */
function labelFromPrompt({ catalog }: Services, fields: Fields): AnswerFields {
  const prompt = String(fields.prompt ?? "").trim().normalize("NFC");
  if (fields.label !== undefined || prompt === "") return {};
  const { model } = restoringWeights(catalog, fields.model);
  const named = labelNames(model).some((label) => label.normalize("NFC") === prompt);
  return named ? { label: prompt } : {};
}
