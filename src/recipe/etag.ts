/** The name of a recipe's file for HTTP. */
import type { Recipe } from "./recipe.ts";

/** Goes up when the same recipe begins to give other bytes. */
export const PICTURE_VERSION = 2;

/**
 * The ETag of a recipe's PNG: the recipe itself. It is known before anything is computed, without a
 * digest to wait for, and no two pictures share one.
 * @param more what else decides the bytes, such as the file's format
 */
export function etag(
  { weights, options, timesteps, mix, inputs = {}, ...choices }: Recipe,
  more: Readonly<Record<string, string | number>> = {},
): string {
  const facts: Record<string, unknown> = {
    picture: PICTURE_VERSION,
    weights: weights.slice(0, 32),
    timesteps: timesteps?.join(" "),
    ...choices,
    ...more,
  };
  const named = (kind: string, values: Readonly<Record<string, unknown>>) =>
    Object.keys(values).sort().map((name) => [`${kind}.${name}`, String(values[name])]);
  const pairs = Object.entries(facts)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, String(value)]);
  return `"${new URLSearchParams([
    ...pairs,
    ...named("options", options),
    ...named("mix", { ...mix }),
    ...named("inputs", inputs),
  ])}"`;
}
