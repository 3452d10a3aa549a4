/** What a command file exports. */
import type { Command } from "npm:commander@15.1.0";
import type { Io } from "./io.ts";

export type { Command };

export interface CommandModule {
  /** Adds arguments and options, and an action that gives the exit code (nothing is 0). */
  define(command: Command, io: () => Io): void;
}

/** A command's name and its line in the help. Its file is read when it is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
}

/** Every command, in the help's order; `commands/NAME.ts` defines it. */
export const commands: readonly CommandEntry[] = [
  { name: "sample", summary: "make pictures from noise" },
  { name: "merge", summary: "put the shards of a bulk run together" },
  { name: "noise", summary: "show how noise takes a picture apart" },
  { name: "compare", summary: "one seed under several schedulers and steps" },
  { name: "interpolate", summary: "the way from one seed or picture to another" },
  { name: "restore", summary: "give a picture back what it lost" },
  { name: "train", summary: "learn from pictures" },
  { name: "eval", summary: "measure how good weights are" },
  { name: "inspect", summary: "say what weights are" },
  { name: "convert", summary: "bring weights into another form" },
  { name: "serve", summary: "make pictures over HTTP" },
];

export async function loadCommand(name: string): Promise<CommandModule> {
  return await import(new URL(`./commands/${name}.ts`, import.meta.url).href);
}
