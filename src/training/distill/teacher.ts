/** The network that is learned from, asked as it is sampled. */
import { combine, denoisedFrom, makeClip, scheduleFor } from "../../diffusion/mod.ts";
import type { SchedulerConfig } from "../../diffusion/types.ts";
import type { Network } from "../../model/network.ts";

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
 */
export function teacherOf(
  network: Pick<Network, "shape" | "outChannels" | "nullLabel" | "predict"> & {
    readonly scheduler: SchedulerConfig;
  },
  guidance: number,
): Teacher {
  const { scheduler, shape: [channels, height, width], outChannels, nullLabel } = network;
  const { alpha_bar } = scheduleFor(scheduler);
  const clip = makeClip(scheduler);
  const size = channels * height * width;
  const outSize = outChannels * height * width;
  return {
    alpha_bar,
    async estimate({ z, t, labels }) {
      const x = new Float32Array(z.length * size);
      z.forEach((picture, i) => x.set(picture, i * size));
      let raw = await network.predict(x, t, labels);
      if (guidance !== 1) {
        const none = new Int32Array(z.length).fill(nullLabel!);
        const uncond = await network.predict(x, t, none);
        raw = combine([1 - guidance, uncond], [guidance, raw]);
      }
      return z.map((z_t, i) => {
        // Of a 2C-channel output the second half is the variance, which DDIM does not use.
        const output = raw.subarray(i * outSize, i * outSize + size);
        const { x_0 } = denoisedFrom(scheduler.prediction_type, output, z_t, alpha_bar(t[i]));
        return clip(x_0);
      });
    },
  };
}
