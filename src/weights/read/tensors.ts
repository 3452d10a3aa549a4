/** The tensors of a folder: which of its files they are in, one file or several. */
import { InputError } from "../../errors.ts";
import { networkFolders } from "../../networks/registry.ts";
import { sha256Hex } from "../../files/hash.ts";
import type { StoredTensor } from "../../networks/match_tensors.ts";
import { type Files, parseJson } from "../files.ts";
import { tensorFormat, weightEnding } from "./formats.ts";
import type { TensorFile } from "./formats/format.ts";

/** Tensors, and the file that they were read from. */
export interface FoundTensors extends TensorFile {
  /** The file's name, from the folder on. */
  readonly name: string;
  /** SHA-256 of the file; of shards over those of each. */
  readonly hash: string;
}

/** Names under which diffusers keeps the weights, the safer format first. */
const plain = [
  "diffusion_pytorch_model.safetensors",
  "diffusion_pytorch_model.safetensors.index.json",
  "diffusion_pytorch_model.bin",
  "diffusion_pytorch_model.bin.index.json",
  "model.safetensors",
  "diffusion_model.pt",
  "pytorch_model.bin",
];
const variantNames = (variant: string) => [
  `diffusion_pytorch_model.${variant}.safetensors`,
  `diffusion_pytorch_model.safetensors.index.${variant}.json`,
  `diffusion_pytorch_model.${variant}.bin`,
  `diffusion_pytorch_model.bin.index.${variant}.json`,
];
const variantOf = /^diffusion_pytorch_model(?:\.(?:safetensors|bin)\.index)?\.([\w-]+)\.\w+$/;
/** Variants that are looked for where a folder cannot be listed. */
const knownVariants = ["fp16", "bf16", "ema", "non_ema", "fp32"];
const MAX_SHARDS = 1000;

/**
 * The weights in a part of a folder, or the file that is meant.
 * @param part "unet/", or "" for the folder itself
 * @param variant diffusers' name between the file's and its ending ("fp16"); else any is taken where
 * there is nothing without one
 * @returns undefined where there are none
 */
export async function readTensors(
  files: Files,
  part: string,
  variant?: string,
): Promise<FoundTensors | undefined> {
  if (files.file !== undefined) {
    const bytes = await files.read(files.file);
    if (!bytes) {
      throw new InputError(`${files.where}${files.file}: expected weights, found nothing`);
    }
    return await readFile(files, files.file, bytes);
  }
  for (const name of await namesIn(files, part, variant)) {
    const bytes = await files.read(part + name);
    if (!bytes) continue;
    return name.endsWith(".json")
      ? await readShards(files, part, part + name, bytes)
      : await readFile(files, part + name, bytes);
  }
}

async function namesIn(files: Files, part: string, variant?: string): Promise<readonly string[]> {
  if (variant !== undefined) {
    if (!/^[\w-]+$/.test(variant)) {
      throw new InputError(`variant: expected a name such as fp16, found "${variant}"`);
    }
    return variantNames(variant);
  }
  const listed = await files.list?.();
  if (!listed) return [...plain, ...knownVariants.flatMap(variantNames)];
  const there = listed.filter((path) => path.startsWith(part)).map((path) =>
    path.slice(part.length)
  );
  const variants = new Set(there.map((name) => variantOf.exec(name)?.[1]).filter((v) => v));
  const known = knownVariants.filter((name) => variants.has(name));
  return [...plain, ...new Set([...known, ...variants] as string[]).values().flatMap(variantNames)]
    .filter((name) => there.includes(name));
}

async function readFile(files: Files, name: string, bytes: Uint8Array): Promise<FoundTensors> {
  const where = files.where + name;
  const format = await tensorFormat(weightEnding(name), where);
  const { tensors, configs } = await format.read(bytes, where);
  return { name, configs, tensors: withoutPrefix(tensors), hash: await sha256Hex(bytes) };
}

/** Weights in several files, which an index names. */
async function readShards(
  files: Files,
  part: string,
  index: string,
  bytes: Uint8Array,
): Promise<FoundTensors> {
  const where = files.where + index;
  const { weight_map: map } = parseJson(bytes, where) as { weight_map?: unknown } ?? {};
  const names = [...new Set(Object.values(map ?? {}))];
  const isShard = (name: unknown) => typeof name === "string" && /^[\w.-]+\.\w+$/.test(name);
  if (names.length === 0 || names.length > MAX_SHARDS || !names.every(isShard)) {
    throw new InputError(
      `${where}: expected a weight_map from tensors to up to ${MAX_SHARDS} files beside it`,
    );
  }
  const shards = await Promise.all(
    (names as string[]).sort().map(async (name) => {
      const shard = await files.read(part + name);
      if (!shard) throw new InputError(`${where}: names the file ${name}, which is not there`);
      return readFile(files, part + name, shard);
    }),
  );
  const tensors = new Map<string, StoredTensor>();
  for (const shard of shards) {
    for (const [name, tensor] of shard.tensors) {
      if (tensors.has(name)) throw new InputError(`${where}: "${name}" is in two of its files`);
      tensors.set(name, tensor);
    }
  }
  const hashes = shards.map(({ hash }) => hash).join("\n");
  return {
    name: index,
    tensors,
    configs: new Map(),
    hash: await sha256Hex(new TextEncoder().encode(hashes)),
  };
}

/** What torch.compile, DataParallel, pipelines, Lightning and EMA wrappers put before every name. */
const prefixes = [
  "_orig_mod.",
  "module.",
  ...networkFolders.map((folder) => `${folder}.`),
  "model.",
  "ema_model.",
  "net.",
];

function withoutPrefix(tensors: ReadonlyMap<string, StoredTensor>) {
  let names = [...tensors.keys()];
  // Shards hold parts of a network: each loses what all of its names begin with.
  while (names.length > 0) {
    const prefix = prefixes.find((prefix) => names.every((name) => name.startsWith(prefix)));
    if (prefix === undefined) break;
    names = names.map((name) => name.slice(prefix.length));
  }
  const found = [...tensors.values()];
  return new Map(names.map((name, i) => [name, found[i]]));
}
