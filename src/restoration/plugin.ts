/** A stranger's operator plug-in, checked before it runs. */
import { InputError } from "../errors.ts";
import type { OperatorPlugin } from "./operator.ts";

const keys = ["name", "api", "description", "options", "mask", "create"];

/**
 * The default export of a plug-in module, if it is an `OperatorPlugin`.
 * @param where what to call the module in messages
 * @throws InputError that says what was expected
 */
export function checkOperator(module: unknown, where: string): OperatorPlugin {
  const plugin = (module as { default?: unknown } | undefined)?.default;
  const expect = (fits: boolean, expected: string) => {
    if (!fits) throw new InputError(`${where}: expected ${expected}`);
  };
  expect(
    typeof plugin === "object" && plugin !== null,
    "a default export { name, api: 1, create }",
  );
  const fields = plugin as Record<string, unknown>;
  expect(fields.api === 1, `api: 1 (the contract's version), found ${fields.api}`);
  expect(
    typeof fields.name === "string" && /^[a-z][a-z0-9_+-]*$/.test(fields.name),
    'name: lower-case letters, digits, "-", "_" and "+"',
  );
  expect(typeof fields.create === "function", "create: a function");
  const unknown = Object.keys(fields).find((key) => !keys.includes(key));
  expect(unknown === undefined, `no keys but ${keys.join(", ")}, found ${unknown}`);
  return fields as unknown as OperatorPlugin;
}
