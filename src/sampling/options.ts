/** A plug-in's options against its own schema. */
import type { OptionSchema, Scheduler, SchedulerOptions } from "../diffusion/types.ts";
import { InputError } from "../errors.ts";

/** Checked values with every default filled in. @throws InputError naming the option. */
export function resolveOptions(
  { name, options: schemas = {} }: Scheduler,
  given: Readonly<Record<string, unknown>> = {},
): SchedulerOptions {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(schemas, key)) {
      const known = Object.keys(schemas);
      throw new InputError(
        `option ${key}: scheduler "${name}" has ${
          known.length ? `the options ${known.join(", ")}` : "no options"
        }`,
      );
    }
  }
  return Object.fromEntries(
    Object.entries(schemas).map(([key, schema]) => [
      key,
      Object.hasOwn(given, key) ? checkOption(key, schema, given[key]) : schema.default,
    ]),
  );
}

/** A value that fits its schema. @throws InputError naming the option. */
export function checkOption(
  key: string,
  schema: OptionSchema,
  value: unknown,
): number | boolean | string {
  const fail = (expected: string): never => {
    throw new InputError(`option ${key}: expected ${expected}, found ${JSON.stringify(value)}`);
  };
  const type = schema.type === "integer" ? "number" : schema.type;
  const found: string = typeof value;
  if (found !== type) fail(`a ${schema.type}`);
  const checked = value as number | boolean | string;
  if (schema.enum && !schema.enum.includes(checked as number | string)) {
    fail(`one of ${schema.enum.join(", ")}`);
  }
  if (typeof checked === "number") {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    if (!Number.isFinite(checked)) fail("a finite number");
    if (schema.type === "integer" && !Number.isInteger(checked)) fail("a whole number");
    if (checked < minimum || checked > maximum) fail(`a number ${rangeText(minimum, maximum)}`);
  }
  return checked;
}

function rangeText(minimum: number, maximum: number): string {
  if (minimum === -Infinity) return `of at most ${maximum}`;
  return maximum === Infinity ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
}

/** An option as typed on a command line or in a query, turned into its schema's type. */
export function parseOption(schema: OptionSchema | undefined, text: string): unknown {
  if (schema?.type === "number" || schema?.type === "integer") {
    return text.trim() === "" ? text : Number.isNaN(Number(text)) ? text : Number(text);
  }
  if (schema?.type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  return text;
}
