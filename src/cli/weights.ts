/** How commands take weights, and which they take when none are named. */
import { Argument, Option } from "npm:commander@15.1.0";
import { defaultSource, WEIGHTS_VARIABLE } from "../weights/find/sources.ts";

export const WEIGHTS_HELP =
  "a built-in name, a folder, a file (.zip, .safetensors, .npz, .onnx), an address, or hf:owner/name[/path]";

export function weightsOption(): Option {
  return new Option("-w, --weights <weights>", WEIGHTS_HELP)
    .default(defaultSource(), defaultHelp(defaultSource()));
}

export function weightsArgument(): Argument {
  return new Argument("[weights]", WEIGHTS_HELP)
    .default(defaultSource(), defaultHelp(defaultSource()));
}

/** For the help: what is taken, and what decides it. */
export function defaultHelp(source: string): string {
  return `${source}; ${WEIGHTS_VARIABLE} names others`;
}
