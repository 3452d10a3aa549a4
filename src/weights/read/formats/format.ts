/** What a file of tensors is, whatever its format: the tensors, and the configs that travel with them. */
import type { StoredTensor } from "../../../networks/match_tensors.ts";
import { networkFolders } from "../../../networks/registry.ts";

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

/** What a file of tensors holds. */
export interface TensorFile {
  /** Those of floats; files may also count things in whole numbers, which are no weights. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Empty where the file has none. */
  readonly configs: Configs;
}

/** How a format is read, and written where it is. */
export interface TensorFormat {
  /** @throws InputError naming the file and what in it does not fit */
  read(bytes: Uint8Array, where: string): TensorFile | Promise<TensorFile>;
  /** One file that `load` takes as it is. */
  write?(
    file: TensorFile,
    dtype: "F32" | "F16",
  ): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
  /** Whether {@link write} can store halves. */
  readonly halves?: boolean;
}

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
