/** numpy's .npz: a zip of .npy arrays. */
import { InputError } from "../errors.ts";
import { type NpyArray, parseNpy, writeNpy } from "../files/npy.ts";
import type { Pixels } from "./pixels.ts";
import { readZip, type UnzipLimits, writeZip } from "../files/zip.ts";

/** Arrays by name as an archive that `numpy.load` reads. */
export function writeNpz(
  arrays: ReadonlyMap<string, NpyArray>,
  options?: { compress?: boolean },
): Promise<Uint8Array<ArrayBuffer>> {
  const files = new Map([...arrays].map(([name, array]) => [`${name}.npy`, writeNpy(array)]));
  return writeZip(files, options);
}

/**
 * The arrays of an archive by name; files in it that are no .npy are left out, and so is what macOS
 * puts beside them.
 * @param wanted which arrays are read; others may be of any kind
 * @throws InputError as {@link readZip} and {@link parseNpy} do, or where there is no array.
 */
export async function readNpz(
  bytes: Uint8Array,
  where: string,
  limits?: UnzipLimits,
  wanted: (name: string) => boolean = () => true,
): Promise<Map<string, NpyArray>> {
  const arrays = new Map<string, NpyArray>();
  const names: string[] = [];
  for (const [path, file] of await readZip(bytes, where, limits)) {
    if (!path.endsWith(".npy") || /(^|\/)(__MACOSX\/|\._)/.test(path)) continue;
    const name = path.slice(0, -4);
    names.push(name);
    if (wanted(name)) arrays.set(name, parseNpy(file, `${where}/${path}`));
  }
  if (names.length === 0) throw new InputError(`${where}: expected .npy arrays, found none`);
  return arrays;
}

/** Pictures as improved-diffusion's evaluators read them: `arr_0`, uint8 [N, H, W, C]. */
export function picturesNpz(pictures: readonly Pixels[]): Promise<Uint8Array<ArrayBuffer>> {
  const [{ width, height, channels }] = pictures;
  const size = width * height * channels;
  if (
    !pictures.every((p) => p.width === width && p.channels === channels && p.pixels.length === size)
  ) {
    throw new Error("an array takes pictures of one size and kind");
  }
  const data = new Uint8Array(pictures.length * size);
  pictures.forEach(({ pixels }, i) => data.set(pixels, i * size));
  const shape = [pictures.length, height, width, channels];
  return writeNpz(new Map([["arr_0", { shape, data }]]), { compress: true });
}
