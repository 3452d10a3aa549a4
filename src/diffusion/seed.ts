/** What a seed is: the one rule that flags, addresses, recipes and the generator share. */
import { type Type, whole } from "../schema.ts";

/** The largest seed, 2³² − 1: torch reads the low 32 bits, so that larger ones would repeat pictures. */
export const MAX_SEED = 2 ** 32 - 1;

/** A whole number in 0 … {@link MAX_SEED}. */
export const seedType: Type<number> = whole(0, MAX_SEED);
