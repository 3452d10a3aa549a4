/** Scheduler plug-ins by name, path or address. For operators: a plug-in is code and runs as such. */
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { schedulers } from "../schedulers/mod.ts";
import type { Scheduler } from "./diffusion/types.ts";
import { InputError } from "./errors.ts";
import { checkScheduler } from "./sampling/plugin.ts";

const SCHEME = /^(https?|file|data|npm|jsr|blob):/;

/**
 * A built-in scheduler by its name, or a plug-in by its path (`./mine.ts`, from the working folder)
 * or address (`https://…`).
 * @throws InputError where it cannot be loaded, or what it exports is no scheduler.
 */
export async function loadScheduler(spec: string): Promise<Scheduler> {
  if (Object.hasOwn(schedulers, spec)) return schedulers[spec];
  const where = `scheduler ${spec}`;
  const isAddress = SCHEME.test(spec);
  if (!isAddress && !isAbsolute(spec) && !/[/\\]|\.[cm]?[jt]sx?$/.test(spec)) {
    throw new InputError(
      `${where}: expected one of ${
        Object.keys(schedulers).join(", ")
      }, or a plug-in's path (./mine.ts) or address`,
    );
  }
  // Against the working folder: a bare relative import would look beside this file.
  const address = isAddress ? spec : pathToFileURL(resolve(spec)).href;
  let module: unknown;
  try {
    module = await import(address);
  } catch (error) {
    throw new InputError(`${where}: could not be loaded (${reasonOf(error)})`, { cause: error });
  }
  return checkScheduler(module, where);
}

function reasonOf(error: unknown): string {
  const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
  return stripVTControlCharacters(reason).replace(/\.$/, "");
}
