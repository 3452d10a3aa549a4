/** A plug-in's options against its own description of them. */
import type { OptionSchema, Scheduler, SchedulerOptions } from "../diffusion/scheduler.ts";
import { FieldError } from "../errors.ts";
import { check, choice, flag, number, text, type Type, whole } from "../schema.ts";

/** The kind of values that an option takes. */
export function optionType(schema: OptionSchema): Type<number | boolean | string> {
  const { type, minimum, maximum } = schema;
  if (schema.enum) return choice(schema.enum);
  if (type === "boolean") return flag;
  if (type === "string") return text();
  return type === "integer" ? whole(minimum, maximum) : number(minimum, maximum);
}

/** Checked values with a default for what is missing or undefined. @throws FieldError naming the option */
export function resolveOptions(
  { name, options: schemas = {} }: Scheduler,
  given: Readonly<Record<string, unknown>> = {},
): SchedulerOptions {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(schemas, key)) {
      const known = Object.keys(schemas).join(", ") || "none";
      throw new FieldError(`options.${key}`, `an option of "${name}" (${known})`, given[key]);
    }
  }
  return Object.fromEntries(
    Object.entries(schemas).map(([key, schema]) => [
      key,
      Object.hasOwn(given, key) && given[key] !== undefined
        ? check(optionType(schema), given[key], `options.${key}`)
        : schema.default,
    ]),
  );
}

/** Options as typed in a command line or an address, each turned into its own type; what is no text stays. */
export function optionsFromText(
  { options: schemas = {} }: Scheduler,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).map(([key, typed]) => [
      key,
      typeof typed === "string" && Object.hasOwn(schemas, key)
        ? optionType(schemas[key]).fromText(typed)
        : typed,
    ]),
  );
}
