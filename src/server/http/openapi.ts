/** /openapi.json, from the schemas that validate. */
import type { Hono } from "npm:hono@4.13.19";
import { z } from "npm:zod@4.6.7";
import { eventFields } from "./images.ts";
import type { Services } from "./services.ts";

type Json = Record<string, unknown>;

export function openApiRoutes(app: Hono, services: Services): void {
  const document = openApiDocument(services);
  app.get("/openapi.json", (c) => c.json(document));
}

function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      // What every JSON number is says nothing.
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return rest;
}

function parameters(schema: z.ZodType): Json[] {
  const { properties = {} } = jsonSchema(schema) as { properties?: Record<string, Json> };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    ...(description ? { description } : {}),
    schema,
  }));
}

const seed = {
  name: "seed",
  in: "path",
  required: true,
  description: "0 to 4294967295, or a name, which is hashed to a seed",
  schema: { type: "string", minLength: 1 },
};

const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), expected: z.string(), found: z.unknown() }))
    .optional(),
  error: z.looseObject({}).describe("the same for OpenAI's clients"),
});

const images = z.object({
  created: z.int(),
  size: z.string(),
  output_format: z.string(),
  data: z.array(z.looseObject({
    b64_json: z.string().optional(),
    url: z.string().optional(),
    revised_prompt: z.string(),
    seed: z.int(),
  })),
});

const problemContent = {
  "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
};

const responses = {
  Problem: {
    description: "RFC 9457: the field, what was expected and what was found",
    content: problemContent,
  },
  Later: {
    description: "no room now",
    headers: { "retry-after": { description: "seconds", schema: { type: "integer" } } },
    content: problemContent,
  },
};

function problems(...statuses: number[]): Json {
  return Object.fromEntries(statuses.map((status) => {
    const name: keyof typeof responses = status === 429 || status === 503 ? "Later" : "Problem";
    return [String(status), { $ref: `#/components/responses/${name}` }];
  }));
}

function picturePath({ schemas }: Services): Json {
  const ok = {
    description: "the picture; immutable where the address names the weights' hash",
    headers: { etag: { schema: { type: "string" } } },
    content: { "image/png": {} },
  };
  const common = {
    parameters: [seed, ...parameters(schemas.picture)],
    responses: {
      "200": ok,
      "304": { description: "the picture that If-None-Match names; nothing was computed" },
      ...problems(401, 403, 404, 422, 429, 500, 503),
    },
  };
  return {
    get: { operationId: "getPicture", summary: "A seed's picture", ...common },
    head: { operationId: "headPicture", summary: "Its headers, without computing it", ...common },
  };
}

function eventsPath({ schemas }: Services): Json {
  return {
    get: {
      operationId: "getPictureEvents",
      summary: "A seed's reverse process: events queued, step …, then done or error",
      parameters: [seed, ...parameters(schemas.picture), ...parameters(eventFields)],
      responses: {
        "200": { description: "server-sent events", content: { "text/event-stream": {} } },
        "204": { description: "an EventSource that connected again after the last event" },
        ...problems(401, 403, 404, 422, 429, 503),
      },
    },
  };
}

function generationsPath({ schemas }: Services): Json {
  return {
    post: {
      operationId: "createImage",
      summary: "OpenAI's image generation",
      security: [{}, { bearer: [] }],
      requestBody: {
        required: true,
        content: { "application/json": { schema: jsonSchema(schemas.generation) } },
      },
      responses: {
        "200": {
          description: "pictures, or with stream their events",
          content: {
            "application/json": { schema: { $ref: "#/components/schemas/Images" } },
            "text/event-stream": {},
          },
        },
        ...problems(400, 401, 404, 408, 413, 415, 422, 429, 500, 503),
      },
    },
  };
}

function plain(operationId: string, summary: string, type: string, ...failing: number[]): Json {
  const responses = { "200": { description: summary, content: { [type]: {} } } };
  const failures = failing.map((status) => [status, { description: "not now" }]);
  return {
    get: { operationId, summary, responses: { ...responses, ...Object.fromEntries(failures) } },
  };
}

function openApiDocument(services: Services): Json {
  return {
    openapi: "3.1.0",
    info: {
      title: "denoise",
      version: "1",
      description: "Pictures by pixel diffusion. A seed's picture is the same every time.",
    },
    servers: [{ url: "." }],
    paths: {
      "/v1/images/{seed}.png": picturePath(services),
      "/v1/images/{seed}/events": eventsPath(services),
      "/v1/images/generations": generationsPath(services),
      "/v1/models": plain("listModels", "loaded weights and schedulers", "application/json"),
      "/livez": plain("live", "the process answers", "text/plain"),
      "/readyz": plain("ready", "every network is warm", "application/json", 503),
      "/metrics": plain("metrics", "Prometheus' text format", "text/plain"),
    },
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: { Problem: jsonSchema(problem), Images: jsonSchema(images) },
      responses,
    },
  };
}
