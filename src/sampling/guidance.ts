/** Classifier-free guidance (Ho & Salimans 2022). */
import { combine } from "../diffusion/mod.ts";
import type { Batcher, Call } from "./batcher.ts";
import type { Conditioning } from "../recipe/conditioning.ts";

/** Asks the network about x_t at the model's time t, guided or not. */
export type Ask = (x_t: Float32Array, t: number) => Promise<Float32Array>;

/** Calls through the batcher; with guidance both halves are pending at once and share evaluations. */
export function asker(batcher: Batcher, conditioning: Conditioning, signal?: AbortSignal): Ask {
  const { label, guidance, nullLabel = batcher.network.nullLabel } = conditioning;
  const call = (c: Omit<Call, "signal">) => batcher.evaluate({ ...c, signal });
  if (guidance === 1) return (x, t) => call({ x, t, label });
  return async (x, t) => {
    const [cond, uncond] = await Promise.all([
      call({ x, t, label }),
      call({ x, t, label: nullLabel }),
    ]);
    const guided = combine([1 - guidance, uncond], [guidance, cond]);
    // Of a 2C-channel output the second half is the variance: it is the conditional one.
    guided.set(cond.subarray(x.length), x.length);
    return guided;
  };
}
