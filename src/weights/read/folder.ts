/** diffusers' folder: its configs and weights, wherever in it training left them. */
import { parseSchedulerConfig } from "../../diffusion/mod.ts";
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import { sha256Hex } from "../../files/hash.ts";
import { isBeyondHalf, namesText } from "../../files/safetensors.ts";
import { paramShapes } from "../../graph/mod.ts";
import { type NetworkDefinition, networkGraph } from "../../networks/architecture.ts";
import { matchTensors, type StoredTensor } from "../../networks/match_tensors.ts";
import { networkFolders, parseNetwork } from "../../networks/registry.ts";
import { type Files, parseJson, readText, settled } from "../files.ts";
import { refuseLatents } from "./latents.ts";
import { parseCard, type WeightsCard } from "./card.ts";
import { folderFiles, networkFiles, networkFilesAmong } from "./formats/format.ts";
import { notObeyed, samplerOf } from "./sampler.ts";
import { type FoundTensors, readTensors } from "./tensors.ts";

/** Everything a folder says, checked. */
export interface WeightsFolder {
  /** The folder, as messages name it. */
  readonly where: string;
  /** The network that its config.json describes. */
  readonly network: NetworkDefinition;
  /** scheduler/scheduler_config.json. */
  readonly scheduler: SchedulerConfig;
  /** What denoise adds to model_index.json. */
  readonly card: WeightsCard;
  /** The tensors under their names in the file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** SHA-256 over both configs, the card and the weights: what a picture depends on. */
  readonly hash: string;
  /** The configs as they were written, under today's names. */
  readonly configs: ReadonlyMap<string, string>;
  /** What was taken in place of something that the folder does not say, in sentences. */
  readonly notices: readonly string[];
}

/** What is asked for among what a folder has. */
export interface ReadOptions {
  /** diffusers' variant: "fp16" is diffusion_pytorch_model.fp16.safetensors. */
  readonly variant?: string;
  /** A folder whose configs stand in where the weights come without. */
  readonly configs?: Files;
}

/** Where a network's config lies in a folder. */
const configPaths = [...networkFolders.map((folder) => networkFiles(folder).config), "config.json"];

/**
 * Reads a diffusers folder: a pipeline, its `unet/` alone, a checkpoint of diffusers' training scripts
 * (the running mean of the weights where there is one), or a file of weights with its configs in it or
 * beside it. Downloads are kept once they have been read and fit together.
 * @throws InputError naming the file, and in it the key or tensor, that does not fit.
 */
export async function readFolder(files: Files, options: ReadOptions = {}): Promise<WeightsFolder> {
  refuseOnnx(files);
  return await settled(files, () => readParts(files, options));
}

/** @throws InputError where a bare ONNX file is meant. */
export function refuseOnnx({ where, file }: Files): void {
  if (!file?.endsWith(".onnx")) return;
  throw new InputError(
    `${where}${file}: expected a network's config and tensors, found an ONNX graph; give the folder or file that it was made from`,
  );
}

async function readParts(files: Files, options: ReadOptions): Promise<WeightsFolder> {
  for (const part of await partsOf(files)) {
    const own = files.file === undefined ? undefined : await readTensors(files, part);
    const text = own?.configs.get(networkFilesAmong(own.configs.keys())?.config ?? "") ??
      await firstText(files, [`${part}config.json`]) ??
      await firstText(options.configs, configPaths);
    if (text === undefined) {
      const found = own ??
        (await files.list?.() && await readTensors(files, part, options.variant));
      if (found) throw withoutConfig(files, found);
      continue;
    }
    // Before the weights, which are large: a network that is not read costs no download of them.
    const where = `${files.where}${part}config.json`;
    const config = parseJson(text, where);
    const network = parseNetwork(config, where);
    const [found, scheduler, index] = await Promise.all([
      own ?? readTensors(files, part, options.variant),
      own?.configs.get(folderFiles.scheduler) ?? schedulerText(files, part, options.configs),
      own?.configs.get(folderFiles.index) ?? firstText(files, indexPaths(part)),
    ]);
    if (found) return await folderOf(files, network, { found, config, text, scheduler, index });
    if (part === "" || !options.configs) throw await missing(files, part, options.variant);
  }
  throw new InputError(
    `${files.where}: expected a diffusers folder (${
      configPaths.join(" or ")
    }), found ${await listing(
      files,
    )}`,
  );
}

/** Where in a folder the network may lie: the running mean first, where there is one. */
async function partsOf(files: Files): Promise<readonly string[]> {
  if (files.file !== undefined) return [""];
  const listed = await files.list?.();
  const isCheckpoint = /(^|\/)checkpoint-\d+\/?$/.test(files.where);
  const means = networkFolders.map((folder) => `${folder}_ema/`).filter((part) =>
    listed?.includes(`${part}config.json`) ?? isCheckpoint
  );
  return [...means, ...networkFolders.map((folder) => `${folder}/`), ""];
}

/** The configs of a folder. */
export interface Configs {
  /** The network's config.json, parsed, and as its text. */
  readonly config: unknown;
  readonly text: string;
  readonly scheduler?: string;
  readonly index?: string;
}

interface Parts extends Configs {
  readonly found: FoundTensors;
}

async function folderOf(
  { where }: Files,
  network: NetworkDefinition,
  { found, ...configs }: Parts,
): Promise<WeightsFolder> {
  const described = describe(where, network, configs);
  const folder: WeightsFolder = {
    ...described,
    notices: [...described.notices, ...hugeNotices(found, where)],
    tensors: found.tensors,
    hash: await hashOf(where, configs, found.hash),
  };
  checkTensors(folder, where + found.name);
  return folder;
}

/** What configs say. */
export function describe(
  where: string,
  network: NetworkDefinition,
  { text, scheduler, index }: Configs,
): Omit<WeightsFolder, "tensors" | "hash"> {
  const modelIndex = parseIndex(where, index);
  refuseLatents(modelIndex, `${where}model_index.json`);
  const card = parseCard(modelIndex, network.classes, `${where}model_index.json`);
  const learned = network.outChannels === 2 * network.shape[0];
  const process = parseSchedulerConfig(
    scheduler ?? { variance_type: learned ? "learned_range" : "fixed_small" },
    `${where}scheduler_config.json`,
  );
  // diffusers writes -Infinity there, which is no JSON; the class stands in every file as text.
  const className = /"_class_name"\s*:\s*"(\w+)"/.exec(scheduler ?? "")?.[1];
  return {
    where,
    network,
    scheduler: process,
    card: { recommended: samplerOf(className, process), ...card },
    configs: new Map(
      [
        [folderFiles.index, index],
        [networkFiles(network.architecture.folder).config, text],
        [folderFiles.scheduler, scheduler],
      ].filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    notices: [noticeOf(scheduler, where)].filter((notice) => notice !== undefined),
  };
}

/** @param weights the hash of the file of weights */
export function hashOf(where: string, configs: Configs, weights: string): Promise<string> {
  const { config, scheduler, index } = configs;
  const modelIndex = parseIndex(where, index);
  return sha256Hex(new TextEncoder().encode(JSON.stringify([
    config,
    scheduler ?? null,
    (modelIndex as Record<string, unknown> | undefined)?._denoise ?? null,
    weights,
  ])));
}

function parseIndex(where: string, index: string | undefined): unknown {
  return index === undefined ? undefined : parseJson(index, `${where}model_index.json`);
}

function noticeOf(scheduler: string | undefined, where: string): string | undefined {
  if (scheduler !== undefined) return notObeyed(scheduler, `${where}scheduler_config.json`);
  return `${where}: no scheduler_config.json says how it was trained; diffusers' defaults are taken (DDPM, linear, T = 1000); --configs FOLDER gives others`;
}

/** A word on numbers that are finite and look broken all the same. */
function hugeNotices({ name, tensors }: FoundTensors, where: string): string[] {
  const huge = [...tensors].filter(([, { data }]) => isBeyondHalf(data)).map(([tensor]) => tensor);
  if (huge.length === 0) return [];
  const notice =
    `${where}${name}: numbers of ${huge.length} tensors are beyond ±65504, the largest half: ${
      namesText(huge)
    }; training rarely makes such, and 16 bits cannot hold them`;
  return [notice];
}

/** @throws InputError where the tensors are not the network's */
function checkTensors({ network, tensors }: WeightsFolder, where: string): void {
  const { currentName } = network.architecture;
  matchTensors(paramShapes(networkGraph(network)), tensors, where, currentName);
}

function withoutConfig({ where }: Files, { name, tensors }: FoundTensors): InputError {
  const names = [...tensors.keys()].slice(0, 3).join(", ");
  return new InputError(
    `${where}${name}: found ${tensors.size} tensors (${names} …) and no config.json beside them that says which network they are; put it there, or give a folder that has it with --configs`,
  );
}

/** In the folder, above it where it is a part of a pipeline or of a training run, or in another's. */
export async function schedulerText(files: Files, part: string, configs?: Files) {
  const name = "scheduler_config.json";
  return await firstText(files, [`scheduler/${name}`, name]) ??
    await firstText(configs, [`scheduler/${name}`, name]) ??
    await firstText(files, [
      `../scheduler/${name}`,
      ...(part === "" ? [`../${name}`, `../../scheduler/${name}`] : []),
    ]);
}

export function indexPaths(part: string): readonly string[] {
  return part === "" ? [folderFiles.index, `../${folderFiles.index}`] : [folderFiles.index];
}

export async function firstText(files: Files | undefined, paths: readonly string[]) {
  if (!files) return undefined;
  for (const path of paths) {
    const text = await readText(files, path, true);
    if (text !== undefined) return text;
  }
}

async function missing(files: Files, part: string, variant?: string): Promise<InputError> {
  const name = `${part}diffusion_pytorch_model${variant ? `.${variant}` : ""}.safetensors`;
  return new InputError(
    `${files.where}: expected ${name} (or .bin), found ${await listing(files, part)}`,
  );
}

/** What there is, where that can be known. */
async function listing(files: Files, part = ""): Promise<string> {
  const names = (await files.list?.())?.filter((path) => path.startsWith(part));
  if (!names) return part === "" ? "neither" : "none";
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more files` : shown || "nothing";
}
