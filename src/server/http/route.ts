/** What a route is: its handler, and what the API's description says of it. */
import type { Context } from "npm:hono@4.13.19";
import { z } from "npm:zod@4.6.7";

export type Json = Record<string, unknown>;

/** One address and method. */
export interface Route {
  readonly method: "get" | "post";
  /** As the router takes it. */
  readonly path: string;
  readonly handle: (context: Context) => Response | Promise<Response>;
  /** Gives its place in /openapi.json; without it the route is not part of the API. */
  readonly operation?: () => {
    /** The address there; default `path`. */
    readonly path?: string;
    readonly operationId: string;
    readonly summary: string;
    readonly parameters?: readonly Json[];
    readonly requestBody?: Json;
    readonly security?: readonly Json[];
    /** Answers that are no problems. */
    readonly responses: Json;
    /** Statuses of the problems it may answer with. */
    readonly problems?: readonly number[];
    /** What HEAD does here, where it is worth saying. */
    readonly head?: { readonly operationId: string; readonly summary: string };
  };
}

/** A schema of zod as OpenAPI 3.1 writes it. */
export function jsonSchema(schema: z.ZodType): Json {
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

/** An object's fields as parameters of a query. */
export function queryParameters(schema: z.ZodType): Json[] {
  const { properties = {} } = jsonSchema(schema) as { properties?: Record<string, Json> };
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    ...(description ? { description } : {}),
    schema,
  }));
}

/** An answer with a body of one type. */
export function answer(description: string, type: string, schema: Json = {}): Json {
  return { description, content: { [type]: { schema } } };
}
