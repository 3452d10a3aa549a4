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
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "output", unrepresentable: "any" });
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

const problem = {
  description: "RFC 9457: the field, what was expected and what was found",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

const seed = {
  name: "seed",
  in: "path",
  required: true,
  description: "0 to 4294967295, or a name, which is hashed to a seed",
  schema: { type: "string", minLength: 1 },
};

const problemSchema = {
  type: "object",
  required: ["type", "title", "status", "detail"],
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    instance: { type: "string" },
    errors: {
      type: "array",
      items: {
        type: "object",
        required: ["field", "expected"],
        properties: { field: { type: "string" }, expected: { type: "string" }, found: {} },
      },
    },
    error: { type: "object", description: "the same for OpenAI's clients" },
  },
};

function problems(...statuses: number[]): Json {
  return Object.fromEntries(statuses.map((status) => [String(status), problem]));
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
        ...problems(400, 401, 404, 408, 413, 415, 422, 500, 503),
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
      schemas: { Problem: problemSchema, Images: imagesSchema },
    },
  };
}

const imagesSchema = {
  type: "object",
  required: ["created", "data"],
  properties: {
    created: { type: "integer" },
    size: { type: "string" },
    output_format: { type: "string" },
    data: {
      type: "array",
      items: {
        type: "object",
        required: ["revised_prompt", "seed"],
        properties: {
          b64_json: { type: "string" },
          url: { type: "string" },
          revised_prompt: { type: "string" },
          seed: { type: "integer" },
        },
      },
    },
  },
};
