/** Checks a scheduler plug-in before it runs. */
import type { OptionSchema, Scheduler } from "../diffusion/scheduler.ts";
import { InputError, shown } from "../errors.ts";
import { optionType } from "../recipe/options.ts";
import { check } from "../schema.ts";

const functions = ["betas", "timesteps", "sampler"] as const;
const keys = ["name", "api", "description", "options", "needs", ...functions];
const optionTypes = ["number", "integer", "boolean", "string"];

type Fields = Readonly<Record<string, unknown>>;

/**
 * The default export of a plug-in module, if it is a `Scheduler`.
 * @param where what to call the module in messages
 * @throws InputError that says what was expected and what was found
 */
export function checkScheduler(module: unknown, where: string): Scheduler {
  const expect = (fits: boolean, expected: string, found: unknown) => {
    if (!fits) throw new InputError(`${where}: expected ${expected}, found ${shown(found)}`);
  };
  const exports = fieldsOf(module) ?? {};
  expect("default" in exports, "a default export { name, api: 1, … }", exportsText(exports));
  const scheduler = fieldsOf(exports.default) ?? {};
  expect(
    fieldsOf(exports.default) !== undefined,
    "the default export to be an object { name, api: 1, … }",
    exports.default,
  );
  expect(scheduler.api === 1, "api: 1 (the contract's version)", scheduler.api);
  expect(
    typeof scheduler.name === "string" && /^[a-z][a-z0-9_+-]*$/.test(scheduler.name),
    'name: lower-case letters, digits, "-", "_" and "+"',
    scheduler.name,
  );
  const { description } = scheduler;
  expect(
    description === undefined || typeof description === "string",
    "description: a line of text",
    description,
  );
  for (const key of functions) {
    const value = scheduler[key];
    expect(value === undefined || typeof value === "function", `${key}: a function`, value);
  }
  for (const key of Object.keys(scheduler)) {
    // A misspelt `sampler` would otherwise be DDPM without a word.
    expect(keys.includes(key), `no keys but ${keys.join(", ")}`, key);
  }
  const { options = {}, needs = [] } = scheduler;
  const isNames = Array.isArray(needs) && needs.every((name) => typeof name === "string");
  expect(isNames, "needs: a list of names", needs);
  expect(fieldsOf(options) !== undefined, "options: schemas by name", options);
  for (const [name, schema] of Object.entries(options as Fields)) {
    checkSchema(name, schema, where);
  }
  return scheduler as unknown as Scheduler;
}

function checkSchema(name: string, found: unknown, where: string): void {
  const schema = fieldsOf(found) ?? {};
  if (!optionTypes.includes(schema.type as string) || typeof schema.description !== "string") {
    throw new InputError(
      `${where}: options.${name}: expected { type: ${
        optionTypes.join(" | ")
      }, description, default }, found ${shown(found)}`,
    );
  }
  const type = optionType(schema as unknown as OptionSchema);
  check(type, schema.default, `options.${name}.default`, where);
}

function fieldsOf(value: unknown): Fields | undefined {
  const fits = typeof value === "object" && value !== null && !Array.isArray(value);
  return fits ? value as Fields : undefined;
}

function exportsText(exports: Fields): string {
  return Object.keys(exports).join(", ") || "no export";
}
