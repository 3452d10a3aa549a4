/** The teacher's guided and clipped estimates of x_0. */
import type { Guided } from "../../diffusion/guided.ts";
import { makeClip, scheduleFor } from "../../diffusion/mod.ts";
import type { Network } from "../../model/network.ts";
import { Batcher } from "../../sampling/batcher.ts";
import { denoiserOf } from "../../sampling/denoiser.ts";

/** Pictures at their times, and the classes they are of. */
export interface Question {
  /** z_t of every picture. */
  readonly z: readonly Float32Array[];
  /** Timesteps, one each. */
  readonly t: Float32Array;
  readonly labels?: Int32Array;
}

/** A network's estimates x̂ of many pictures at once. */
export interface Teacher {
  /** Its schedule, which is the student's. */
  alpha_bar(t: number): number;
  /** x̂(z_t, t), guided and then clipped to the pixels' range, of every picture. */
  estimate(question: Question): Promise<Float32Array[]>;
}

/**
 * @param guidance s in uncond + s·(cond − uncond), of the network's raw output (Ho & Salimans 2022)
 * @param guided the timesteps at which it is guided
 */
export function teacherOf(network: Network, guidance: number, guided?: Guided): Teacher {
  const { scheduler: config } = network;
  const schedule = scheduleFor(config);
  const levels = { schedule, config, modelTime: (t: number) => t };
  const clip = makeClip(config);
  return {
    alpha_bar: schedule.alpha_bar,
    estimate({ z, t, labels }) {
      const batcher = new Batcher(network, { maxBatch: z.length });
      return Promise.all(z.map(async (z_t, i) => {
        const conditioning = { label: labels?.[i], guidance, guided };
        const { x_0 } = await denoiserOf(batcher, levels, conditioning).denoise(z_t, t[i]);
        return clip(x_0);
      }));
    },
  };
}
