/** What a picture has lost, as flags say it. */
import { FieldError, InputError } from "../../errors.ts";
import { importPlugin, isModuleSpec } from "../../files/import_plugin.ts";
import { optionsFromText, resolveOptions } from "../../recipe/options.ts";
import type { Degradation } from "../../restoration/degradation.ts";
import type { OperatorPlugin } from "../../restoration/operator.ts";
import { operators } from "../../restoration/operators/mod.ts";
import { checkOperator } from "../../restoration/plugin.ts";
import { readBlur, readNoise, readScale } from "../../restoration/spelling.ts";
import type { Command } from "../command.ts";
import { collect, parsePairs } from "../values.ts";
import { matrixOperator } from "./matrix_file.ts";

export interface DegradationFlags {
  mask?: string;
  grow?: string;
  scale?: string;
  blur?: string;
  colour?: boolean;
  noise?: string;
  operator?: string;
  operatorOption?: string[];
  matrix?: string;
}

export function defineDegradationOptions(command: Command): Command {
  return command
    .option("--mask <picture>", "a hole: white, or transparent where the file has transparency")
    .option("--grow <pixels>", "make the hole larger, as its edge may be blurred", "0")
    .option("--scale <n[:kernel]>", "it is n times smaller: 4, 4:bicubic (else means of blocks)")
    .option(
      "--blur <kernel>",
      "it is blurred: gaussian:2, uniform:9, motion:7:30 (pixels, degrees)",
    )
    .option("--colour", "its colours are gone")
    .option("--noise <sigma>", "it is noisy, pixels counted from -1 to 1; or auto")
    .option(
      "--operator <name>",
      `in place of these: ${Object.keys(operators).join(", ")}, ./mine.ts`,
    )
    .option("--operator-option <name=value>", "an option of the operator: share=0.25", collect)
    .option(
      "--matrix <file>",
      "or a matrix of your own: .npy, .npz, .json; a row for each number of y",
    );
}

/** The degradation without its mask, which needs the picture's size. */
export async function readDegradation(flags: DegradationFlags): Promise<Degradation> {
  return {
    colour: flags.colour,
    blur: flags.blur === undefined ? undefined : readBlur(flags.blur, "--blur"),
    scale: flags.scale === undefined ? undefined : readScale(flags.scale, "--scale"),
    operator: await readOperator(flags),
  };
}

/** σ_y, or that it is to be told from the picture; undefined where nothing is said. */
export function readNoiseFlag({ noise }: DegradationFlags): number | "auto" | undefined {
  return noise === undefined ? undefined : readNoise(noise, "--noise");
}

async function readOperator(flags: DegradationFlags): Promise<Degradation["operator"]> {
  const { operator: spec, operatorOption = [], matrix } = flags;
  if (spec === undefined) {
    if (operatorOption.length > 0) throw new InputError("--operator-option: needs --operator");
    return matrix === undefined ? undefined : { plugin: await matrixOperator(matrix), options: {} };
  }
  if (matrix !== undefined) throw new InputError("--matrix: give either --matrix or --operator");
  const plugin = await loadOperator(spec);
  const given = parsePairs("--operator-option", operatorOption);
  return { plugin, options: resolveOptions(plugin, optionsFromText(plugin, given)) };
}

/** A built-in operator by its name, or a plug-in by its path or address. */
async function loadOperator(spec: string): Promise<OperatorPlugin> {
  if (Object.hasOwn(operators, spec)) return operators[spec];
  const where = `operator ${spec}`;
  if (isModuleSpec(spec)) return checkOperator(await importPlugin(spec, where), where);
  throw new FieldError(
    "--operator",
    `one of ${Object.keys(operators).join(", ")}, or a plug-in's path (./mine.ts) or address`,
    spec,
  );
}
