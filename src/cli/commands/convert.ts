/** `convert`: weights from one form to another. */
import { dirname } from "node:path";
import { InputError } from "../../errors.ts";
import { portable } from "../../onnx/mod.ts";
import { type Files, readText } from "../../weights/files.ts";
import { readFolder } from "../../weights/read/folder.ts";
import { locate } from "../../weights/find/locate.ts";
import { paramShapes } from "../../graph/mod.ts";
import { networkOf } from "../../model/model.ts";
import { emitModel } from "../../model/onnx/export.ts";
import {
  type Configs,
  folderFiles,
  folderOf,
  metadataOf,
  networkFiles,
  singleNpz,
  singleSafetensors,
  type Weights,
} from "../../weights/read/single_file.ts";
import { writeZip } from "../../files/zip.ts";
import type { Command } from "../command.ts";
import { downloadOptions } from "../downloads.ts";
import type { Io } from "../io.ts";
import { checkFile, checkFolder, makeFolder, writeOutput } from "../output.ts";
import { WEIGHTS_HELP } from "../weights.ts";

interface Flags {
  fp16: boolean;
  force: boolean;
}

export function define(command: Command, io: () => Io): void {
  command
    .argument("<weights>", WEIGHTS_HELP)
    .argument("<out>", "a folder/, .zip, .safetensors, .npz, or .onnx")
    .option("--fp16", "16-bit weights (not for .npz and .onnx)", false)
    .option("--force", "overwrite what is there", false)
    .action((weights: string, out: string, flags: Flags) => run(weights, out, flags, io()));
}

async function run(source: string, out: string, { fp16, force }: Flags, io: Io): Promise<void> {
  const kind = out.endsWith("/") ? "folder" : /\.(zip|safetensors|npz|onnx)$/i.exec(out)?.[1];
  if (!kind) {
    throw new InputError(
      `${out}: expected a folder with a slash at its end, .zip, .safetensors, .npz or .onnx`,
    );
  }
  if (!force && await Deno.stat(out).then(() => true, () => false)) {
    throw new InputError(`${out}: is there already; --force overwrites it`);
  }
  await (kind === "folder" ? checkFolder(out) : checkFile(out));
  const files = await locate(source, downloadOptions(io));
  const folder = await readFolder(files);
  if (fp16 && (kind === "npz" || kind === "onnx")) {
    throw new InputError(`--fp16: .${kind} files have 32-bit weights here`);
  }
  // Today's names and shapes, whatever the file's age.
  const { graph, weights: matched } = networkOf(folder);
  const tensors = new Map(
    [...paramShapes(graph)].map(([name, shape]) => [name, { shape, data: matched.get(name)! }]),
  );
  const weights: Weights = {
    configs: await readConfigs(files, folder.network.architecture.folder),
    tensors,
  };
  const dtype = fp16 ? "F16" : "F32";
  switch (kind.toLowerCase()) {
    case "folder":
      for (const [name, bytes] of folderOf(weights, dtype)) {
        const path = out + name;
        await makeFolder(dirname(path));
        await writeOutput(path, bytes);
      }
      break;
    case "zip":
      await writeOutput(out, await writeZip(folderOf(weights, dtype), { compress: true }));
      break;
    case "safetensors":
      await writeOutput(out, singleSafetensors(weights, dtype));
      break;
    case "npz":
      await writeOutput(out, await singleNpz(weights));
      break;
    case "onnx":
      await writeOutput(
        out,
        emitModel(folder, portable, metadataOf(weights.configs)),
      );
  }
  if (!io.quiet) io.err(`${out}: ${tensors.size} tensors of ${folder.where}`);
}

/** The folder's configs under today's names, from either layout. */
async function readConfigs(files: Files, network: string): Promise<Configs> {
  const configs = new Map<string, string>();
  const places = {
    [folderFiles.index]: ["model_index.json"],
    [networkFiles(network).config]: [`${network}/config.json`, "config.json"],
    [folderFiles.scheduler]: ["scheduler/scheduler_config.json", "scheduler_config.json"],
  };
  for (const [name, paths] of Object.entries(places)) {
    for (const path of paths) {
      const text = await readText(files, path);
      if (text === undefined) continue;
      configs.set(name, text);
      break;
    }
  }
  return configs;
}
