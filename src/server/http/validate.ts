/** From what a schema says of an input to a problem that a client can act on. */
import type { z } from "npm:zod@4.6.7";
import { type FieldError, invalid, Problem } from "./problem.ts";

/** @throws Problem 422 naming every field that does not fit, what was expected and what was found */
export function validate(schema: z.ZodObject, input: unknown): Record<string, unknown> {
  const result = schema.safeParse(input);
  if (result.success) {
    const fields = Object.entries(result.data as Record<string, unknown>);
    return Object.fromEntries(fields.filter(([, v]) => v !== undefined && v !== null));
  }
  const known = Object.keys(schema.shape);
  const errors = result.error.issues.flatMap((issue) => fieldErrors(issue, input, known));
  const [{ field, expected, found }] = errors;
  throw new Problem(422, "invalid", invalid(field, expected, found).message, { errors });
}

function fieldErrors(
  issue: z.core.$ZodIssue,
  input: unknown,
  known: readonly string[],
): FieldError[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      field: key,
      expected: `no such parameter, but ${known.join(", ")}`,
      found: shortened((input as Record<string, unknown>)[key]),
    }));
  }
  const found = issue.path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    input,
  );
  return [{
    field: issue.path.map(String).join(".") || "body",
    expected: expectation(issue),
    found: shortened(found),
  }];
}

const typeNames: Record<string, string> = {
  number: "a number",
  int: "a whole number",
  string: "text",
  boolean: "true or false",
  object: "an object",
  array: "a list",
};

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return typeNames[issue.expected] ?? issue.expected;
    case "invalid_value":
      return `one of ${issue.values.map((v) => JSON.stringify(v)).join(", ")}`;
    case "too_small":
      return `at least ${amount(issue.minimum, issue.origin)}`;
    case "too_big":
      return `at most ${amount(issue.maximum, issue.origin)}`;
    case "invalid_union":
      return issue.errors.map(([first]) => expectation(first)).join(", or ");
    default:
      return issue.message;
  }
}

function amount(limit: number | bigint, origin: string): string {
  if (origin !== "string") return String(limit);
  return `${limit} ${Number(limit) === 1 ? "character" : "characters"}`;
}

/** Bounds what an answer repeats of a request. */
function shortened(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "a list" : "an object";
  }
  return typeof value === "string" && value.length > 80 ? `${value.slice(0, 80)}…` : value;
}
