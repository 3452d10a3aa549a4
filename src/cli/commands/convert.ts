/** `convert`: weights from one form to another. */
import { dirname } from "node:path";
import { InputError } from "../../errors.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import { writeZip } from "../../files/zip.ts";
import { paramShapes } from "../../graph/mod.ts";
import { networkOf } from "../../model/model.ts";
import { emitModel } from "../../model/onnx/export.ts";
import { portable } from "../../onnx/mod.ts";
import { readFolder } from "../../weights/read/folder.ts";
import {
  metadataOf,
  networkFilesAmong,
  type TensorFile,
} from "../../weights/read/formats/format.ts";
import { tensorFormat, weightEnding, writtenEndings } from "../../weights/read/formats.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { checkFile, checkFolder, makeFolder, writeOutput } from "../files.ts";
import { type LoadFlags, loadFlags, readOptions, WEIGHTS_HELP } from "../weights.ts";

interface Flags extends LoadFlags {
  fp16: boolean;
  force: boolean;
}

const ENDINGS = writtenEndings.map((ending) => `.${ending}`).join(", ");

export function define(command: Command, io: () => Io): void {
  loadFlags(command.argument("<weights>", WEIGHTS_HELP))
    .argument("<out>", `a folder/, or a file: ${ENDINGS}`)
    .option("--fp16", "16-bit weights (not for .npz and .onnx)", false)
    .option("--force", "overwrite what is there", false)
    .action((weights: string, out: string, flags: Flags) => run(weights, out, flags, io()));
}

async function run(source: string, out: string, flags: Flags, io: Io): Promise<void> {
  const { fp16, force } = flags;
  const ending = weightEnding(out);
  const kind = out.endsWith("/") ? "folder" : writtenEndings.find((written) => written === ending);
  if (!kind) {
    throw new InputError(
      `${out}: expected a folder with a slash at its end, or a file: ${ENDINGS}`,
    );
  }
  if (!force && await Deno.stat(out).then(() => true, () => false)) {
    throw new InputError(`${out}: is there already; --force overwrites it`);
  }
  await (kind === "folder" ? checkFolder(out) : checkFile(out));
  const { files, options } = await readOptions(source, flags, io);
  const folder = await readFolder(files, options);
  const dtype = fp16 ? "F16" : "F32";
  // Today's names and shapes, whatever the file's age.
  const { graph, weights: matched } = networkOf(folder);
  const tensors = new Map(
    [...paramShapes(graph)].map(([name, shape]) => [name, { shape, data: matched.get(name)! }]),
  );
  const { configs } = folder;
  if (kind === "folder") {
    for (const [name, bytes] of filesOfFolder({ configs, tensors }, dtype)) {
      await makeFolder(dirname(out + name));
      await writeOutput(out + name, bytes);
    }
  } else if (kind === "zip") {
    const files = filesOfFolder({ configs, tensors }, dtype);
    await writeOutput(out, await writeZip(files, { compress: true }));
  } else if (kind === "onnx") {
    if (fp16) throw new InputError("--fp16: .onnx files have 32-bit weights here");
    await writeOutput(out, emitModel(folder, portable, metadataOf(configs)));
  } else {
    const format = await tensorFormat(kind, out);
    if (fp16 && !format.halves) {
      throw new InputError(`--fp16: .${kind} files have 32-bit weights here`);
    }
    await writeOutput(out, await format.write!({ configs, tensors }, dtype));
  }
  if (!io.quiet) io.err(`${out}: ${tensors.size} tensors of ${folder.where}`);
}

/** A diffusers folder's files by name. */
function filesOfFolder({ configs, tensors }: TensorFile, dtype: "F32" | "F16") {
  const encoder = new TextEncoder();
  return new Map([
    ...[...configs].map(([name, text]) => [name, encoder.encode(text)] as const),
    [
      networkFilesAmong(configs.keys())!.weights,
      writeSafetensors(tensors, { dtype, metadata: { format: "pt" } }),
    ] as const,
  ]);
}
