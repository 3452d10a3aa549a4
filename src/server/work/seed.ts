/** From a name to a seed. */
import { seedFromName } from "../../diffusion/mod.ts";
import { MAX_SEED, seedType } from "../../diffusion/seed.ts";
import { invalid } from "../problem.ts";

/**
 * The seed that a path segment or a prompt stands for: a number is itself; any other name is hashed
 * in its trimmed, lower-case NFC form, so that `alice@example.com` has one picture for ever.
 *
 * @throws Problem 422 for an empty or overlong name, one with a "/", or a number that is no seed
 */
export function seedOf(name: string, maxLength: number, field = "seed"): number {
  if (name.length > maxLength) {
    throw invalid(field, `a number or a name of 1 to ${maxLength} characters`, name);
  }
  const trimmed = name.trim();
  if (/^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/.test(trimmed)) {
    const seed = Number(trimmed);
    if (/^\d+$/.test(trimmed) && seedType.accepts(seed)) return seed;
    throw invalid(field, `an integer from 0 to ${MAX_SEED}, or a name`, name);
  }
  if (trimmed === "") {
    throw invalid(field, `a number or a name of 1 to ${maxLength} characters`, name);
  }
  // A name is one segment of an address: what stands relative to it would lead elsewhere.
  if (trimmed.includes("/")) throw invalid(field, 'a name without "/"', name);
  return hashToSeed(trimmed);
}

/** The seed of a name, by hash alone. */
export function hashToSeed(name: string): number {
  return seedFromName(name.trim().normalize("NFC").toLowerCase());
}

/** Any seed. */
export function anySeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

/** The nth seed from `seed` on, going round after the last. */
export function nextSeed(seed: number, n: number): number {
  return (seed + n) % (MAX_SEED + 1);
}
