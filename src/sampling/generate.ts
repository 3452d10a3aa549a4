/** Sampling with the built-in schedulers by name and the weights' own defaults. */
import { schedulers } from "../../schedulers/mod.ts";
import type { Scheduler } from "../diffusion/types.ts";
import { InputError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import { generate as generateWith, type NamedNetwork, type Picture } from "./pictures.ts";
import { sample as sampleWith, type SampleFrame, type SampleRequest } from "./sample.ts";

/** What {@link sample} and {@link generate} take; all but the seeds may be left out. */
export interface SampleOptions extends Omit<SampleRequest, "scheduler" | "steps"> {
  /** A built-in's name, or a plug-in; default what the weights recommend, else "ddim". */
  readonly scheduler?: string | Scheduler;
  /** Default what the weights recommend, else 50. */
  readonly steps?: number;
}

/** The scheduler of a name. @throws InputError that lists the names there are. */
export function schedulerByName(name: string): Scheduler {
  if (Object.hasOwn(schedulers, name)) return schedulers[name];
  throw new InputError(
    `scheduler: expected one of ${Object.keys(schedulers).join(", ")}, found "${name}"`,
  );
}

/** Options with the names resolved and the weights' defaults filled in. */
export function completeOptions(network: Network, options: SampleOptions): SampleRequest {
  const { scheduler, steps } = network.recommended ?? { scheduler: "ddim", steps: 50 };
  const chosen = options.scheduler ?? scheduler;
  return {
    ...options,
    scheduler: typeof chosen === "string" ? schedulerByName(chosen) : chosen,
    steps: options.steps ?? options.timesteps?.length ?? steps,
  };
}

/**
 * Samples seeds and yields a frame for each step of each.
 * @param network a loaded model
 * @throws InputError before any work when something that was asked for cannot be
 *
 * ```ts
 * import { load, sample } from "../../mod.ts";
 * await using model = await load("digits", { backend: "wasm" });
 * for await (const { seed, step, steps, done } of sample(model, { seeds: [1, 2], steps: 4 })) {
 *   console.log(seed, step, steps, done);
 * }
 * ```
 */
export function sample(
  network: Network,
  options: SampleOptions,
): AsyncGenerator<SampleFrame, void> {
  return sampleWith(network, completeOptions(network, options));
}

/**
 * Samples seeds and gives their pictures, in the seeds' order.
 * @param network a loaded model
 * @throws InputError before any work when something that was asked for cannot be
 *
 * ```ts
 * import { generate, load } from "../../mod.ts";
 * await using model = await load("digits", { backend: "wasm" });
 * const [picture] = await generate(model, { seeds: [7], steps: 4 });
 * const png = await picture.png();
 * ```
 */
export function generate(network: NamedNetwork, options: SampleOptions): Promise<Picture[]> {
  return generateWith(network, completeOptions(network, options));
}
