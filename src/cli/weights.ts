/** How commands take weights, and which they take when none are named. */
import { Argument, Option } from "npm:commander@15.1.0";
import { locate, type LocateOptions } from "../weights/find/locate.ts";
import { studySource, WEIGHTS_VARIABLE } from "../weights/find/sources.ts";
import type { Files } from "../weights/files.ts";
import type { ReadOptions } from "../weights/read/folder.ts";
import { weightEndings } from "../weights/read/formats.ts";
import type { Command } from "./command.ts";
import { downloadOptions } from "./progress.ts";
import type { Io } from "./io.ts";

export const WEIGHTS_HELP = `a built-in name, a folder, a file (${
  weightEndings.map((ending) => `.${ending}`).join(", ")
}), an address, or hf:owner/name[/path][@revision]`;

/** @param source what is taken where none are named */
export function weightsOption(source: string): Option {
  return new Option("-w, --weights <weights>", WEIGHTS_HELP).default(source, defaultHelp(source));
}

export function weightsArgument(): Argument {
  return new Argument("[weights]", WEIGHTS_HELP).default(studySource(), defaultHelp(studySource()));
}

/** For the help: what is taken, and what decides it. */
export function defaultHelp(source: string): string {
  return `${source}; ${WEIGHTS_VARIABLE} names others`;
}

/** What is asked for among what a place of weights has. */
export interface LoadFlags {
  variant?: string;
  configs?: string;
  refresh?: boolean;
}

/** The flags of {@link LoadFlags}. */
export function loadFlags(command: Command): Command {
  return command
    .option("--variant <name>", "diffusers' variant of the weights: fp16, bf16, ema …")
    .option("--configs <folder>", "whose configs stand in where the weights come without")
    .option("--refresh", "ask anew for weights that were downloaded before");
}

/** The files that weights are in, and how they are read. */
export async function readOptions(
  source: string,
  { variant, configs, refresh }: LoadFlags,
  io: Io,
): Promise<{ files: Files; options: ReadOptions }> {
  const downloads: LocateOptions = { ...downloadOptions(io), refresh };
  return {
    files: await locate(source, downloads),
    options: {
      variant,
      configs: configs === undefined ? undefined : await locate(configs, downloads),
    },
  };
}
