/** Mixtures: a picture that is partly another's, by its noise, by its class, or by both. */
import { seedType } from "../diffusion/seed.ts";
import { FieldError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import { check, number } from "../schema.ts";
import { defaultLabel, type Label, labelIndex } from "./conditioning.ts";

/** What a picture is mixed with, resolved. */
export interface Mix {
  /** Whose noise is mixed in: every draw is on the arc between the two seeds' own. */
  readonly seed?: number;
  /** The class that is mixed in: every evaluation is asked for both, and the outputs are added. */
  readonly label?: number;
  /** How much of it, 0 … 1. */
  readonly share: number;
}

/** What a picture is to be mixed with: a seed, a label, or both. */
export interface MixRequest {
  /** Whose noise is mixed in. Where no label is named at all, its picture's own class comes with it. */
  readonly seed?: number;
  /** The class that is mixed in, by name or index. */
  readonly label?: Label;
  /** How much of it, from 0, nothing, to 1, nothing else; default a half. */
  readonly share?: number;
}

/** How much of the other there is where nobody says. */
export const DEFAULT_SHARE = 0.5;

/**
 * What a request adds to a picture; undefined where that is nothing, as with a share of 0.
 * @param own the picture's seed and class, and whether the class was named
 * @throws FieldError naming what cannot be mixed
 */
export function resolveMix(
  network: Network,
  own: { readonly seed: number; readonly label?: number; readonly named: boolean },
  request: MixRequest | undefined,
): Mix | undefined {
  if (request === undefined) return undefined;
  const share = check(number(0, 1), request.share ?? DEFAULT_SHARE, "mix");
  if (request.seed === undefined && request.label === undefined) {
    throw new FieldError("mix", "something to mix with: another seed, or a second label", share);
  }
  if (request.seed !== undefined) check(seedType, request.seed, "seed");
  const label = request.label !== undefined
    ? labelIndex(network, request.label)
    : own.named || request.seed === undefined
    ? undefined
    : defaultLabel(network, request.seed);
  const mix = {
    ...(request.seed === undefined || request.seed === own.seed ? {} : { seed: request.seed }),
    ...(label === undefined || label === own.label ? {} : { label }),
    share,
  };
  return share === 0 || Object.keys(mix).length === 1 ? undefined : mix;
}

/**
 * The two classes of "wizard+orc"; undefined where the text names one class, or no two.
 * @param known whether a text is a class
 * @param separators what may stand between them: in an address the plus of a form is a space
 */
export function labelsMixed(
  text: string,
  known: (label: string) => boolean,
  separators = /\+/g,
): readonly [string, string] | undefined {
  if (known(text)) return undefined;
  for (const { index } of text.matchAll(separators)) {
    const [a, b] = [text.slice(0, index).trim(), text.slice(index + 1).trim()];
    if (known(a) && known(b)) return [a, b];
  }
}
