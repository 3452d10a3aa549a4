/** The ε-loss on held-out pictures by timestep band. */
import { createGenerator, scheduleFor } from "../diffusion/mod.ts";
import type { Network } from "../model/network.ts";
import type { DataSet } from "../training/data/data_set.ts";
import { yieldToEventLoop } from "../training/event_loop.ts";
import { askAbout, pictureOf, type Question, spread } from "./predict.ts";

export interface BandLoss {
  /** Timesteps from … to, both included. */
  readonly from: number;
  readonly to: number;
  /** Mean of ‖ε − ε̂‖² a pixel. */
  readonly loss: number;
  readonly pictures: number;
}

export interface EpsLossOptions {
  /** Pictures a band. */
  readonly pictures: number;
  readonly bands?: number;
  readonly seed?: number;
  readonly batch?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The mean squared error of ε on held-out pictures (Ho et al. 2020, eq. 14), by timestep band. */
export async function epsLossByBand(
  network: Network,
  data: DataSet,
  options: EpsLossOptions,
): Promise<BandLoss[]> {
  const { pictures, bands = 10, seed = 0, batch = 32, signal, onProgress } = options;
  const schedule = scheduleFor(network.scheduler);
  const { T } = schedule;
  const size = network.shape.reduce((a, b) => a * b);
  const chosen = spread(data.length, pictures);
  const result: BandLoss[] = [];
  const count = Math.min(bands, T);
  for (let band = 0; band < count; band++) {
    const from = Math.floor(band * T / count);
    const to = Math.floor((band + 1) * T / count) - 1;
    const generator = createGenerator(seed + band);
    const questions = chosen.map((index, i): Question => ({
      ...pictureOf(data, network, index),
      t: from + Math.floor((i + generator.uint32() / 2 ** 32) / chosen.length * (to - from + 1)),
      noise: generator.randn(size),
    }));
    let sum = 0;
    for (let at = 0; at < questions.length; at += batch) {
      const answers = await askAbout(network, schedule, questions.slice(at, at + batch));
      for (const { denoised: { eps }, noise } of answers) {
        sum += eps.reduce((s, e, p) => s + (e - noise[p]) ** 2, 0) / size;
      }
      await yieldToEventLoop(signal);
    }
    onProgress?.(band + 1, count);
    result.push({ from, to, loss: sum / chosen.length, pictures: chosen.length });
  }
  return result;
}
