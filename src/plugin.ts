/** Scheduler plug-ins by name, path or address. For operators: a plug-in is code and runs as such. */
import { schedulers } from "../schedulers/mod.ts";
import type { Scheduler } from "./diffusion/types.ts";
import { InputError } from "./errors.ts";
import { schedulerByName } from "./sample.ts";
import { checkScheduler } from "./sampling/plugin.ts";

/**
 * A built-in scheduler by its name, or a plug-in by its path (`./mine.ts`, from the working folder)
 * or address (`https://…`).
 * @throws InputError where it cannot be loaded, or what it exports is no scheduler.
 */
export async function loadScheduler(spec: string): Promise<Scheduler> {
  const isModule = /[/\\]|\.[cm]?[jt]s$/.test(spec);
  if (Object.hasOwn(schedulers, spec) || !isModule) return schedulerByName(spec);
  const cwd = `file://${encodeURI(Deno.cwd().replaceAll("\\", "/"))}/`;
  let module: unknown;
  try {
    module = await import(new URL(spec, cwd).href);
  } catch (error) {
    const [reason] = (error as Error).message.split("\n");
    throw new InputError(`scheduler ${spec}: could not be loaded (${reason})`);
  }
  return checkScheduler(module, `scheduler ${spec}`);
}
