/** Classifier-free guidance (Ho & Salimans 2022). */
import { combine } from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import type { Batcher, Call } from "./batcher.ts";
import type { Network } from "../model/network.ts";
import { checkFoldedGuidance } from "./distilled.ts";

/** Asks the network about x_t at the model's time t, guided or not. */
export type Ask = (x_t: Float32Array, t: number) => Promise<Float32Array>;

export interface Conditioning {
  /** The class; left out for a network without classes. */
  readonly label?: number;
  /** s in raw_uncond + s·(raw_cond − raw_uncond); 1 asks for the class alone. */
  readonly guidance: number;
  /** The class that means none; default what the weights say. */
  readonly nullLabel?: number;
}

/** @throws InputError where the network cannot be asked in this way. */
export function checkConditioning(network: Network, conditioning: Conditioning): void {
  const { label, guidance, nullLabel = network.nullLabel } = conditioning;
  if (!Number.isFinite(guidance)) {
    throw new InputError(`guidance: expected a number, found ${guidance}`);
  }
  checkFoldedGuidance(network, guidance);
  const classes = classCount(network);
  if (classes === 0) {
    if (label !== undefined) throw new InputError("label: these weights know no classes");
    if (guidance !== 1) {
      throw new InputError(`guidance ${guidance}: these weights know no classes to be guided by`);
    }
    return;
  }
  if (label === undefined || !Number.isInteger(label) || label < 0 || label >= classes) {
    throw new InputError(
      `label: expected a class from 0 to ${classes - 1}, found ${label ?? "none"}`,
    );
  }
  if (guidance === 1) return;
  if (nullLabel === undefined) {
    throw new InputError(
      `guidance ${guidance}: these weights do not say which class means "none"; give it as nullLabel (--null-label)`,
    );
  }
  if (!Number.isInteger(nullLabel) || nullLabel < 0 || nullLabel >= classes) {
    throw new InputError(`null label: expected 0 to ${classes - 1}, found ${nullLabel}`);
  }
}

/** How many class indices a network takes, its null class included. */
export function classCount({ labels, nullLabel }: Network): number {
  return Math.max(labels?.length ?? 0, labels && nullLabel !== undefined ? nullLabel + 1 : 0);
}

/** The class of a seed's picture when none is asked for: each seed has one, the same everywhere. */
export function defaultLabel(network: Network, seed: number): number | undefined {
  return network.labels ? seed % network.labels.length : undefined;
}

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
