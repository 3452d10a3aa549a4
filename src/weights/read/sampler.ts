/** Which sampler a folder's own scheduler is, where there is one of that name here. */
import { parsePythonJson } from "../../diffusion/config.ts";
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import { shown } from "../../errors.ts";

/** How a network is sampled where nothing recommends anything else. */
export const DEFAULT = { scheduler: "ddim", steps: 50 } as const;

/**
 * diffusers' classes by the samplers that are theirs here, with steps that suit them. DDPM is missing:
 * it is the class that everything is trained with, and its sampler takes all T evaluations.
 */
const samplers: Readonly<Record<string, { scheduler: string; steps: number }>> = {
  DDIMScheduler: DEFAULT,
  DDIMParallelScheduler: DEFAULT,
  DPMSolverMultistepScheduler: { scheduler: "dpmpp", steps: 20 },
  UniPCMultistepScheduler: { scheduler: "unipc", steps: 20 },
  HeunDiscreteScheduler: { scheduler: "heun", steps: 20 },
};

/**
 * What to sample with where the weights' card does not say: the scheduler that they were saved with.
 * @param className `_class_name` of scheduler_config.json
 */
export function samplerOf(
  className: unknown,
  { num_train_timesteps: T }: SchedulerConfig,
): { scheduler: string; steps: number } | undefined {
  if (typeof className !== "string" || !Object.hasOwn(samplers, className)) return undefined;
  const { scheduler, steps } = samplers[className];
  // Solvers that jump from their last step to the end have room for one step less than T.
  return { scheduler, steps: Math.max(1, Math.min(steps, T - 1)) };
}

type Keys = Readonly<Record<string, unknown>>;

/** Spacings of noise levels that no sampler here has. */
const spacings: Keys = {
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
};
const multistep: Keys = { ...spacings, solver_order: 2, final_sigmas_type: "zero" };

/**
 * What a sampler here does, in the keys of the class whose name it has, with the other values that
 * diffusers takes for the same. Anything else would be other pictures.
 */
const doings: Readonly<Record<string, Keys>> = {
  dpmpp: {
    ...multistep,
    use_lu_lambdas: false,
    solver_type: ["midpoint", "logrho", "bh1", "bh2"],
    algorithm_type: "dpmsolver++",
  },
  unipc: {
    ...multistep,
    solver_type: ["bh2", "midpoint", "heun", "logrho"],
    predict_x0: true,
  },
  heun: { ...spacings, timestep_spacing: "trailing" },
};
/** Heun's class spaces evenly where its file does not say; the others mean what is done here. */
const meant: Readonly<Record<string, Keys>> = { heun: { timestep_spacing: "linspace" } };

/**
 * A sentence on what a folder's scheduler config asks of its sampler and is not obeyed; undefined
 * where everything is.
 * @param text scheduler_config.json
 */
export function notObeyed(text: string, where: string): string | undefined {
  const keys = parsePythonJson(text, where) as Keys;
  const { scheduler } = samplers[String(keys._class_name)] ?? {};
  if (scheduler === undefined) return undefined;
  const asked = Object.entries(doings[scheduler] ?? {}).flatMap(([key, does]) => {
    const value = keys[key] ?? meant[scheduler]?.[key];
    const fits = [does].flat().some((one) => JSON.stringify(one) === JSON.stringify(value));
    // Python's flags: what is missing or null asks for nothing.
    return value === undefined || fits ? [] : [`${key} ${shown(value)}`];
  });
  if (asked.length === 0) return undefined;
  return `${where}: ${scheduler} here does not obey ${
    asked.join(", ")
  }; its pictures are other ones than diffusers' with them`;
}
