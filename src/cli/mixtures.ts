/** Mixtures on the command line: `--label wizard+orc`, `--with 13`, `--mix 0.3`. */
import { InputError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { isLabel, type Label } from "../recipe/conditioning.ts";
import { labelsMixed, type MixRequest } from "../recipe/mix.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { number, parse } from "../schema.ts";
import { parseSeed } from "./values.ts";

/** What the flags say, for each seed or once for all. */
export interface MixFlags {
  readonly seeds?: readonly number[];
  readonly shares?: readonly number[];
}

/** @throws InputError for what is no seed, or no share */
export function readMixFlags(flags: { readonly with?: string; readonly mix?: string }): MixFlags {
  const share = number(0, 1);
  return {
    seeds: flags.with?.split(",").map((text) => parseSeed("--with", text.trim())),
    shares: flags.mix?.split(",").map((text) => parse(share, text, "--mix")),
  };
}

/**
 * Labels of which each is one class, and what every picture is mixed with.
 * @param named labels as they were given: "wizard+orc" is two
 * @param before the recipes that stand in for what the flags leave out
 */
export function mixtures(
  model: Model,
  seeds: readonly number[],
  named: Label | readonly Label[] | undefined,
  { seeds: others, shares }: MixFlags,
  before: readonly Recipe[] = [],
): { labels?: Label | readonly Label[]; mix?: readonly (MixRequest | undefined)[] } {
  const both = (label: Label) =>
    typeof label === "string" ? labelsMixed(label, (text) => isLabel(model, text)) : undefined;
  const pairs = [named ?? []].flat().map((label) => both(label) ?? [label] as const);
  const firsts = pairs.map(([first]) => first);
  const labels = named === undefined ? undefined : Array.isArray(named) ? firsts : firsts[0];
  const own = typeof named === "number" || typeof named === "string";
  const [otherOf, shareOf] = [nth("--with", others, seeds), nth("--mix", shares, seeds)];
  const mix = seeds.map((_, i): MixRequest | undefined => {
    const kept = before[i]?.mix;
    const label = pairs[own ? 0 : i]?.[1] ?? kept?.label;
    const request = { seed: otherOf(i) ?? kept?.seed, label, share: shareOf(i) ?? kept?.share };
    return request.seed === undefined && label === undefined ? undefined : request;
  });
  if (mix.some((request) => request !== undefined)) return { labels, mix };
  if (shares !== undefined) {
    throw new InputError("--mix: expected something to mix with: --with SEED, or --label A+B");
  }
  return { labels };
}

/** The value of each seed: one is for all. */
function nth(option: string, values: readonly number[] | undefined, seeds: readonly number[]) {
  if (values !== undefined && values.length !== 1 && values.length !== seeds.length) {
    throw new InputError(`${option}: ${values.length} values for ${seeds.length} seeds`);
  }
  return (i: number) => values?.[values.length === 1 ? 0 : i];
}
