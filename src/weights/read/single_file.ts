/** Weights in one file: the folder's JSON files travel with the tensors. */
import { InputError } from "../../errors.ts";
import { parseNpy, writeNpy } from "../../files/npy.ts";
import { writeZip } from "../../files/zip.ts";
import { networkFolders } from "../../networks/registry.ts";
import { type Files, filesOf } from "../files.ts";
import { parseSafetensors, type SafeTensor, writeSafetensors } from "../../files/safetensors.ts";

/** The files of a diffusers folder that are the same for every network. */
export const folderFiles = {
  index: "model_index.json",
  scheduler: "scheduler/scheduler_config.json",
} as const;

/** A network's own files, by the folder that its architecture has in a pipeline. */
export const networkFiles = (folder: string) => ({
  config: `${folder}/config.json`,
  weights: `${folder}/diffusion_pytorch_model.safetensors`,
});

/** The network's files in a folder that has these; undefined where none is a network's config. */
export function networkFilesAmong(names: Iterable<string>) {
  const known = new Set(names);
  return networkFolders.map(networkFiles).find(({ config }) => known.has(config));
}

/** The configs of a folder as text, by their names in it. */
export type Configs = ReadonlyMap<string, string>;

/** What the configs' names begin with in the metadata of a safetensors or ONNX file. */
const METADATA_PREFIX = "denoise:";

/** The configs as entries of a file's metadata. */
export function metadataOf(configs: Configs): Record<string, string> {
  return Object.fromEntries([...configs].map(([name, text]) => [METADATA_PREFIX + name, text]));
}

/** The configs among the entries of a file's metadata. */
export function configsIn(metadata: Readonly<Record<string, string>>): Configs {
  return new Map(
    Object.entries(metadata)
      .filter(([key]) => key.startsWith(METADATA_PREFIX))
      .map(([key, text]) => [key.slice(METADATA_PREFIX.length), text]),
  );
}

export interface Weights {
  readonly configs: Configs;
  readonly tensors: ReadonlyMap<string, SafeTensor>;
}

/** A folder's files by name. */
export function folderOf(
  { configs, tensors }: Weights,
  dtype: "F32" | "F16",
): Map<string, Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const texts = [...configs].map(([name, text]) => [name, encoder.encode(text)] as const);
  const weights = writeSafetensors(tensors, { dtype, metadata: { format: "pt" } });
  return new Map([...texts, [weightsPath(configs.keys()), weights]]);
}

/** One safetensors file that `load` takes as it is. */
export function singleSafetensors({ configs, tensors }: Weights, dtype: "F32" | "F16") {
  return writeSafetensors(tensors, {
    dtype,
    metadata: { format: "pt", ...metadataOf(configs) },
  });
}

/** One npz: an array a tensor under its own name, and the configs beside them. */
export function singleNpz({ configs, tensors }: Weights): Promise<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  return writeZip(
    new Map([
      ...[...configs].map(([name, text]) => [name, encoder.encode(text)] as const),
      ...[...tensors].map(([name, tensor]) => [`${name}.npy`, writeNpy(tensor)] as const),
    ]),
    { compress: true },
  );
}

/** The folder that a single safetensors file stands for. */
export function filesOfSafetensors(bytes: Uint8Array, where: string): Files {
  const { metadata } = parseSafetensors(bytes, where);
  const configs = configsIn(metadata);
  if (configs.size === 0) {
    throw new InputError(
      `${where}: the file has tensors but no configs; give the folder it came from, or a file that convert wrote`,
    );
  }
  const encoder = new TextEncoder();
  const texts = [...configs].map(([name, text]) => [name, encoder.encode(text)]);
  return filesOf(
    { ...Object.fromEntries(texts), [weightsPath(configs.keys())]: bytes },
    `${where}/`,
  );
}

/** Where the tensors go beside these configs; those that lack the network's are refused when read. */
function weightsPath(names: Iterable<string>): string {
  return (networkFilesAmong(names) ?? networkFiles(networkFolders[0])).weights;
}

/** The folder that the entries of an npz stand for; float64 is rounded to float32. */
export function filesOfNpz(entries: ReadonlyMap<string, Uint8Array>, where: string): Files {
  const tensors = new Map<string, SafeTensor>();
  const files: Record<string, Uint8Array> = {};
  for (const [name, bytes] of entries) {
    if (!name.endsWith(".npy")) {
      files[name] = bytes;
      continue;
    }
    const { shape, data } = parseNpy(bytes, `${where}/${name}`);
    if (!(data instanceof Float32Array || data instanceof Float64Array)) {
      throw new InputError(`${where}/${name}: expected floats, found whole numbers`);
    }
    tensors.set(name.slice(0, -4), { shape, data: Float32Array.from(data) });
  }
  return filesOf(
    { ...files, [weightsPath(Object.keys(files))]: writeSafetensors(tensors) },
    `${where}/`,
  );
}
