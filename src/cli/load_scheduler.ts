/** Scheduler plug-ins by name, path or address. */
import { schedulers } from "../../schedulers/mod.ts";
import type { Scheduler } from "../diffusion/scheduler.ts";
import { InputError } from "../errors.ts";
import { importPlugin, isModuleSpec } from "../files/import_plugin.ts";
import { checkScheduler } from "../sampling/plugin.ts";

/**
 * A built-in scheduler by its name, or a plug-in by its path (`./mine.ts`, from the working folder)
 * or address (`https://…`).
 * @throws InputError where it cannot be loaded, or what it exports is no scheduler.
 */
export async function loadScheduler(spec: string): Promise<Scheduler> {
  if (Object.hasOwn(schedulers, spec)) return schedulers[spec];
  const where = `scheduler ${spec}`;
  if (!isModuleSpec(spec)) {
    throw new InputError(
      `${where}: expected one of ${
        Object.keys(schedulers).join(", ")
      }, or a plug-in's path (./mine.ts) or address`,
    );
  }
  return checkScheduler(await importPlugin(spec, where), where);
}
