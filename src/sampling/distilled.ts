/** Refuses timesteps that few-step weights were not trained at. */
import { spacedTimesteps } from "../diffusion/mod.ts";
import { FieldError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import type { Plan } from "./plan.ts";

/** Whether a network answers at every timestep, as restoring asks it to; few-step weights know their own. */
export function knowsEveryTimestep({ distilled }: Pick<Network, "distilled">): boolean {
  return distilled?.steps === undefined;
}

/**
 * @throws FieldError for timesteps that a network of few steps was never asked at: of `steps` where
 * there are more or fewer than it was taught, else of `timesteps`
 */
export function checkTaughtTimesteps({ distilled, scheduler }: Network, plan: Plan): void {
  if (distilled?.steps === undefined) return;
  const { teacher, steps } = distilled;
  const spaced = (n: number) => spacedTimesteps(n, scheduler.num_train_timesteps, "trailing");
  const taught = spaced(steps);
  const unknown = plan.timesteps.map((t) => plan.modelTime(t)).find((t) => !taught.includes(t));
  if (unknown === undefined) return;
  const lesson = `these weights were distilled from ${teacher} to draw in ${steps} ${
    steps === 1 ? "step" : "steps"
  } and know no others`;
  const asked = plan.timesteps.length;
  if (!spaced(asked).every((t) => taught.includes(t))) {
    throw new FieldError("steps", `${steps}: ${lesson}; leave it out, or take ${teacher}`, asked);
  }
  throw new FieldError(
    "timesteps",
    `some of ${
      taught.join(", ")
    }: ${lesson}; leave scheduler, schedule and timesteps out, or take ${teacher}`,
    unknown,
  );
}
