/** Text from the command line as values. Each throws InputError naming the option. */
import { FieldError, InputError } from "../errors.ts";
import { MAX_SEED, seedType } from "../diffusion/seed.ts";
import { number, parse, type Type, whole } from "../schema.ts";

/** The most seeds one command takes. */
const MAX_SEEDS = 10_000_000;

/** "0-15,20" → 0 … 15 and 20. */
export function parseSeeds(text: string): number[] {
  const seeds: number[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [NaN, NaN];
    if (!(first <= last && seedType.accepts(last))) {
      throw new InputError(
        `--seeds: expected seeds from 0 to ${MAX_SEED} such as 0-15,20, found "${text}"`,
      );
    }
    if (seeds.length + last - first + 1 > MAX_SEEDS) {
      throw new InputError(`--seeds: "${text}" are more than ${MAX_SEEDS} seeds`);
    }
    for (let seed = first; seed <= last; seed++) seeds.push(seed);
  }
  return seeds;
}

/** A whole number without a sign. */
export function parseWhole(option: string, text: string, least: number, most: number): number {
  return parseDigits(option, text, whole(least, most));
}

/** A seed. */
export function parseSeed(option: string, text: string): number {
  return parseDigits(option, text, seedType);
}

/** A seed and those after it, as many as are asked for. */
export function seedsFrom(option: string, text: string, count: number): number[] {
  const first = parseSeed(option, text);
  if (seedType.accepts(first + count - 1)) {
    return Array.from({ length: count }, (_, i) => first + i);
  }
  throw new InputError(`${option}: seeds end at ${MAX_SEED}`);
}

function parseDigits(option: string, text: string, type: Type<number>): number {
  if (!/^\d+$/.test(text)) throw new FieldError(option, type.expected, text);
  return parse(type, text, option);
}

export function parseNumber(option: string, text: string): number {
  return parse(number(), text, option);
}

/** "name=value" pairs. */
export function parsePairs(option: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => {
    const at = text.indexOf("=");
    if (at < 1) throw new InputError(`${option}: expected name=value, found "${text}"`);
    return [text.slice(0, at), text.slice(at + 1)];
  }));
}

/** For flags that may be given several times: their values, in order. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}
