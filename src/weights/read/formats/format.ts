/** What a file of tensors is, whatever its format: the tensors, and the configs that travel with them. */
import type { StoredTensor } from "../../../networks/unet2d/mod.ts";

/** A diffusers folder's file names. */
export const folderFiles = {
  index: "model_index.json",
  unet: "unet/config.json",
  scheduler: "scheduler/scheduler_config.json",
  weights: "unet/diffusion_pytorch_model.safetensors",
} as const;

/** The configs of a folder as text, by their names in it ({@link folderFiles}). */
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
