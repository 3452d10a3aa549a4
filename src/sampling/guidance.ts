/** Classes and classifier-free guidance (Ho & Salimans 2022): what may be asked of a network. */
import { InputError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import { checkFoldedGuidance } from "./distilled.ts";

/** What a network is asked for beside x_t and t. */
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
