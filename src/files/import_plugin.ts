/** Importing a plug-in's module. For operators: a plug-in is code and runs as such. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { InputError } from "../errors.ts";

const SCHEME = /^(https?|file|data|npm|jsr|blob):/;

/** Whether it is written as a path or address, not as a name. */
export function isModuleSpec(spec: string): boolean {
  return SCHEME.test(spec) || /[/\\]|\.[cm]?[jt]sx?$/.test(spec);
}

/**
 * The module at a path (`./mine.ts`, from the working folder) or address (`https://…`).
 * @param where what to call it in messages
 * @throws InputError where it cannot be loaded
 */
export async function importPlugin(spec: string, where: string): Promise<unknown> {
  // Against the working folder: a bare relative import would look beside this file.
  const address = SCHEME.test(spec) ? spec : pathToFileURL(resolve(spec)).href;
  try {
    return await import(address);
  } catch (error) {
    throw new InputError(`${where}: could not be loaded (${reasonOf(error)})`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
  return stripVTControlCharacters(reason).replace(/\.$/, "");
}
