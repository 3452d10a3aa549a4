/** Refuses timesteps that few-step weights were not trained at. */
import { spacedTimesteps } from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import type { Plan } from "./plan.ts";

/** Whether a network answers at every timestep, as restoring asks it to; few-step weights know their own. */
export function knowsEveryTimestep({ distilled }: Pick<Network, "distilled">): boolean {
  return distilled?.steps === undefined;
}

/** @throws InputError for timesteps that a network of few steps was never asked at */
export function checkTaughtTimesteps({ distilled, scheduler }: Network, plan: Plan): void {
  if (distilled?.steps === undefined) return;
  const { teacher, steps } = distilled;
  const taught = spacedTimesteps(steps, scheduler.num_train_timesteps, "trailing");
  const unknown = plan.timesteps.find((t) => !taught.includes(plan.modelTime(t)));
  if (unknown === undefined) return;
  throw new InputError(
    `timestep ${unknown}: these weights were distilled from ${teacher} to draw in ${steps} ${
      steps === 1 ? "step" : "steps"
    }, at ${
      taught.join(", ")
    }, and know no others; leave steps and schedule out, or take ${teacher}`,
  );
}
