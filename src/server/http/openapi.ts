/** /openapi.json, from the routes and the schemas that validate. */
import { z } from "npm:zod@4.6.7";
import { once } from "./once.ts";
import { answer, type Json, jsonSchema, type Route } from "./route.ts";
import type { Services } from "./services.ts";

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

function problems(statuses: readonly number[]): Json {
  return Object.fromEntries(statuses.map((status) => {
    const name: keyof typeof responses = status === 429 || status === 503 ? "Later" : "Problem";
    return [String(status), { $ref: `#/components/responses/${name}` }];
  }));
}

/** The route of a document that describes the other routes. */
export function openApiRoute(services: Services, routes: readonly Route[]): Route {
  const route: Route = {
    method: "get",
    path: "/openapi.json",
    async handle(c) {
      await services.access.description(c.req.raw);
      return c.json(document(), 200, { "cache-control": "no-cache" });
    },
    operation: () => ({
      operationId: "getDescription",
      summary: "This description",
      security: services.access.security("description"),
      responses: { "200": answer("OpenAPI 3.1", "application/json", { type: "object" }) },
      problems: [401],
    }),
  };
  const document = once(() => openApiDocument([...routes, route]));
  return route;
}

function openApiDocument(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const { method, path, operation } of routes) {
    if (!operation) continue;
    const { path: address = path, head, problems: statuses = [], ...rest } = operation();
    const described = {
      security: [{}],
      ...rest,
      responses: { ...rest.responses, ...problems([400, ...statuses]) },
    };
    const methods = paths[address] ??= {};
    methods[method] = described;
    if (head) methods.head = { ...described, ...head };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "denoise",
      version: "1",
      license: { name: "MIT", identifier: "MIT" },
      description: "Pictures by pixel diffusion. A seed's picture is the same every time.",
    },
    servers: [{ url: "." }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer" },
        signature: {
          type: "apiKey",
          in: "query",
          name: "sig",
          description: "HMAC-SHA256 of path and query; with expires",
        },
      },
      schemas: { Problem: jsonSchema(problem) },
      responses,
    },
  };
}
