/** Weights as numpy's .npz: a float array a tensor. */
import { InputError } from "../errors.ts";
import { readNpz, writeNpz } from "../image/npz.ts";
import type { UnzipLimits } from "../image/zip.ts";
import type { SafeTensor } from "./safetensors.ts";

/** Tensors by name as a file that `numpy.load` reads. */
export function writeNpzTensors(
  tensors: ReadonlyMap<string, SafeTensor>,
): Promise<Uint8Array<ArrayBuffer>> {
  return writeNpz(tensors);
}

/**
 * The tensors of an archive in its order; float64 is rounded to float32.
 * @throws InputError for a damaged archive or an array of whole numbers, naming file and tensor.
 */
export async function readNpzTensors(
  bytes: Uint8Array,
  where: string,
  limits?: UnzipLimits,
): Promise<Map<string, SafeTensor>> {
  const tensors = new Map<string, SafeTensor>();
  for (const [name, { shape, data }] of await readNpz(bytes, where, limits)) {
    if (data instanceof Float32Array) tensors.set(name, { shape, data });
    else if (data instanceof Float64Array) {
      tensors.set(name, { shape, data: Float32Array.from(data) });
    } else throw new InputError(`${where}: tensor "${name}" holds whole numbers; expected floats`);
  }
  return tensors;
}
