/** Flags of the programs in this folder: `--help` prints them, a wrong one ends the program in a line. */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";

type Value = string | number | boolean | readonly string[] | readonly number[];

/** A flag's value where it is not given, which is of the flag's type; its meaning; what it may be. */
type Flag = readonly [value: Value, help: string, choices?: readonly string[]];

type Typed<V> = V extends string ? string
  : V extends number ? number
  : V extends boolean ? boolean
  : V extends readonly string[] ? string[]
  : number[];

/**
 * Reads the command line. Lists are written with commas; numbers are at least 0.
 * @param about what the program does, for `--help`
 */
export function readFlags<const F extends Readonly<Record<string, Flag>>>(
  about: string,
  flags: F,
): { [K in keyof F]: Typed<F[K][0]> } {
  return orEnd(() => usage(about, flags), () => {
    const { values } = parseArgs({ args: Deno.args, options: optionsOf(flags) });
    const given = values as Record<string, string | boolean | undefined>;
    const read = Object.entries(flags).map((
      [name, flag],
    ) => [name, value(name, flag, given[name])]);
    return Object.fromEntries(read);
  });
}

/** Reads a command line of words alone; without any, all are meant. */
export function readWords(about: string, words: readonly string[]): ReadonlySet<string> {
  const shown = words.map((word) => `[${word}]`).join(" ");
  return orEnd(() => `${about}\n\n${command()} ${shown}`, () => {
    const wrong = Deno.args.find((word) => !words.includes(word));
    if (wrong !== undefined) throw new Error(`expected ${words.join(", ")}, found "${wrong}"`);
    return new Set(Deno.args.length ? Deno.args : words);
  });
}

function orEnd<T>(help: () => string, read: () => T): T {
  if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
    console.log(help());
    Deno.exit(0);
  }
  try {
    return read();
  } catch (error) {
    console.error(`${(error as Error).message} (see --help)`);
    Deno.exit(2);
  }
}

function command(): string {
  return `deno run -A ${Deno.mainModule.slice(Deno.mainModule.lastIndexOf("/bench/") + 1)}`;
}

function optionsOf(flags: Readonly<Record<string, Flag>>): ParseArgsOptionsConfig {
  return Object.fromEntries(
    Object.entries(flags).map(([name, [value]]) => [
      name,
      { type: typeof value === "boolean" ? "boolean" : "string" },
    ]),
  );
}

function value(name: string, [missing, , choices]: Flag, given?: string | boolean): Value {
  if (given === undefined || typeof given === "boolean") return given ?? missing;
  const parts = Array.isArray(missing) ? given.split(",").map((part) => part.trim()) : [given];
  const wrong = parts.find((part) => choices && !choices.includes(part));
  if (wrong !== undefined) {
    throw new Error(`--${name}: expected ${choices!.join(", ")}, found "${wrong}"`);
  }
  const [first] = [missing].flat();
  const read = typeof first === "number" ? parts.map((part) => number(name, part)) : parts;
  return Array.isArray(missing) ? read as Value : read[0];
}

function number(name: string, text: string): number {
  const value = Number(text);
  if (text !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new Error(`--${name}: expected a number from 0, found "${text}"`);
}

function usage(about: string, flags: Readonly<Record<string, Flag>>): string {
  const lines = Object.entries(flags).map(([name, [value, help, choices]]) => {
    const usual = typeof value === "boolean" ? "" : ` (default ${value})`;
    const among = choices ? `: ${choices.join(", ")}` : "";
    return `  --${name.padEnd(12)} ${help}${among}${usual}`;
  });
  return [about, "", `${command()}${lines.length ? " [flags]" : ""}`, ...lines].join(
    "\n",
  );
}
