/** Which sampler a folder's own scheduler is, where there is one of that name here. */
import type { SchedulerConfig } from "../../diffusion/types.ts";

/**
 * diffusers' classes by the samplers that are theirs here, with steps that suit them. DDPM is missing:
 * it is the class that everything is trained with, and its sampler takes all T evaluations.
 */
const samplers: Readonly<Record<string, { scheduler: string; steps: number }>> = {
  DDIMScheduler: { scheduler: "ddim", steps: 50 },
  DDIMParallelScheduler: { scheduler: "ddim", steps: 50 },
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
