/** From what a schema says of an input to a problem that a client can act on. */
import type { z } from "npm:zod@4.6.7";
import { excerpt, found, listed, Problem, sentence, type WrongField } from "../problem.ts";

/** Fields that one answer speaks of; a question may have thousands that are wrong. */
const MAX_ERRORS = 16;

/** @throws Problem 422 naming every field that does not fit, what was expected and what was found */
export function validate(schema: z.ZodObject, input: unknown): Record<string, unknown> {
  const result = schema.safeParse(input);
  if (result.success) {
    const fields = Object.entries(result.data as Record<string, unknown>);
    return Object.fromEntries(fields.filter(([, v]) => v !== undefined && v !== null));
  }
  const known = Object.keys(schema.shape);
  const errors = result.error.issues.slice(0, MAX_ERRORS)
    .flatMap((issue) => fieldErrors(issue, input, known)).slice(0, MAX_ERRORS);
  throw new Problem(422, "invalid", sentence(errors[0]), { errors });
}

function fieldErrors(
  issue: z.core.$ZodIssue,
  input: unknown,
  known: readonly string[],
): WrongField[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.slice(0, MAX_ERRORS).map((key, i) => ({
      field: excerpt(key),
      expected: i === 0 ? `no such parameter, but ${listed(known)}` : "no such parameter",
      found: found((input as Record<string, unknown>)[key]),
    }));
  }
  const value = issue.path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    input,
  );
  return [{
    field: issue.path.map((key) => excerpt(String(key))).join(".") || "body",
    expected: expectation(issue),
    found: found(value),
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
      return oneOf(issue.values.map((v) => JSON.stringify(v)));
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

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values[0] : `one of ${listed(values)}`;
}

function amount(limit: number | bigint, origin: string): string {
  if (origin !== "string") return String(limit);
  return `${limit} ${Number(limit) === 1 ? "character" : "characters"}`;
}
