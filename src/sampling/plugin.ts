/** A stranger's scheduler plug-in, checked before it runs. */
import type { Scheduler } from "../diffusion/types.ts";
import { InputError } from "../errors.ts";

const functions = ["betas", "timesteps", "sampler"] as const;
const optionTypes = ["number", "integer", "boolean", "string"];

/**
 * The default export of a plug-in module, if it is a `Scheduler`.
 * @throws InputError that says what was expected and what was found.
 */
export function checkScheduler(module: unknown, where: string): Scheduler {
  const fail = (expected: string, found: unknown): never => {
    throw new InputError(`${where}: expected ${expected}, found ${describe(found)}`);
  };
  const isRecord = (x: unknown): x is Record<string, unknown> =>
    typeof x === "object" && x !== null && !Array.isArray(x);
  if (!isRecord(module) || !("default" in module)) {
    return fail("a module with a scheduler as its default export", module);
  }
  const scheduler = module.default;
  if (!isRecord(scheduler)) {
    return fail("a default export { name, api: 1, … }", scheduler);
  }
  if (scheduler.api !== 1) fail("api: 1", scheduler.api);
  if (typeof scheduler.name !== "string" || !/^[\w.-]+$/.test(scheduler.name)) {
    fail("a name of letters, digits, dots and dashes", scheduler.name);
  }
  for (const key of functions) {
    if (scheduler[key] !== undefined && typeof scheduler[key] !== "function") {
      fail(`${key} to be a function`, scheduler[key]);
    }
  }
  if (functions.every((key) => scheduler[key] === undefined)) {
    fail(`at least one of ${functions.join(", ")}`, Object.keys(scheduler));
  }
  const { options = {} } = scheduler;
  if (!isRecord(options)) return fail("options to be an object of schemas", options);
  for (const [key, schema] of Object.entries(options)) {
    const known = isRecord(schema) && optionTypes.includes(schema.type as string);
    if (!known || typeof schema.description !== "string" || !("default" in schema)) {
      fail(`option ${key} to be { type, description, default }`, schema);
    }
  }
  return scheduler as unknown as Scheduler;
}

function describe(found: unknown): string {
  if (typeof found === "function") return "a function";
  try {
    return JSON.stringify(found) ?? String(found);
  } catch {
    return String(found);
  }
}
