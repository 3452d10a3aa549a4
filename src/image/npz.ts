/** numpy's .npz: a zip of .npy arrays. */
import { InputError } from "../errors.ts";
import { type NpyArray, parseNpy, writeNpy } from "./npy.ts";
import type { Pixels } from "./pixels.ts";
import { readZip, type UnzipLimits, writeZip } from "./zip.ts";

export function writeNpz(
  arrays: ReadonlyMap<string, NpyArray>,
  options?: { compress?: boolean },
): Promise<Uint8Array<ArrayBuffer>> {
  const files = new Map([...arrays].map(([name, array]) => [`${name}.npy`, writeNpy(array)]));
  return writeZip(files, options);
}

/** The arrays of an archive by name; other files in it are left out. */
export async function readNpz(
  bytes: Uint8Array,
  where: string,
  limits?: UnzipLimits,
): Promise<Map<string, NpyArray>> {
  const arrays = new Map<string, NpyArray>();
  for (const [name, file] of await readZip(bytes, where, limits)) {
    if (name.endsWith(".npy")) arrays.set(name.slice(0, -4), parseNpy(file, `${where}/${name}`));
  }
  if (arrays.size === 0) throw new InputError(`${where}: expected .npy arrays, found none`);
  return arrays;
}

/** Pictures as improved-diffusion's evaluators read them: `arr_0`, uint8 [N, H, W, C]. */
export function picturesNpz(pictures: readonly Pixels[]): Promise<Uint8Array<ArrayBuffer>> {
  const [{ width, height, channels }] = pictures;
  const size = width * height * channels;
  const data = new Uint8Array(pictures.length * size);
  pictures.forEach(({ pixels }, i) => data.set(pixels, i * size));
  const shape = [pictures.length, height, width, channels];
  return writeNpz(new Map([["arr_0", { shape, data }]]), { compress: true });
}
