/** Text from the command line as values. Each throws InputError naming the option. */
import { InputError } from "../errors.ts";

/** The most seeds one command takes. */
const MAX_SEEDS = 10_000_000;
const MAX_SEED = 2 ** 32 - 1;
/** Of more classes a message lists the first ones. */
const MAX_NAMES_SHOWN = 20;

/** "0-15,20" → 0 … 15 and 20. */
export function parseSeeds(text: string): number[] {
  const seeds: number[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/.exec(part);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [NaN, NaN];
    if (!(first <= last && last <= MAX_SEED)) {
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

export function parseWhole(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new InputError(
    `${option}: expected a whole number from ${least} to ${most}, found "${text}"`,
  );
}

export function parseNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InputError(`${option}: expected a number, found "${text}"`);
}

/** "name=value" pairs. */
export function parsePairs(option: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => {
    const at = text.indexOf("=");
    if (at < 1) throw new InputError(`${option}: expected name=value, found "${text}"`);
    return [text.slice(0, at), text.slice(at + 1)];
  }));
}

/** "3,1,4": class names or indices of a network, in the seeds' order; one stands for all. */
export function parseLabels(
  text: string,
  names: readonly string[] | undefined,
): number | number[] {
  if (!names) throw new InputError(`--label ${text}: these weights know no classes`);
  const labels = text.split(",").map((part) => {
    const named = names.indexOf(part.trim());
    if (named >= 0) return named;
    if (/^\d+$/.test(part.trim())) return parseWhole("--label", part.trim(), 0, 2 ** 31 - 1);
    const known = names.length > MAX_NAMES_SHOWN
      ? `${names.slice(0, MAX_NAMES_SHOWN).join(", ")}, …`
      : names.join(", ");
    throw new InputError(
      `--label: expected a class (${known}), or its index, found "${part.trim()}"`,
    );
  });
  return labels.length === 1 ? labels[0] : labels;
}
