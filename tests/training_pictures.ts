/** Small real files for the tests of training. */
import { encodePng } from "../src/image/png.ts";

/** A PNG with a bright square whose place depends on i. */
export function squarePng(i: number, size = 12, channels: 1 | 3 = 1): Uint8Array {
  const pixels = new Uint8Array(size * size * channels).fill(20);
  for (let y = 0; y < size / 2; y++) {
    for (let x = 0; x < size / 2; x++) {
      const at = ((y + i % 3) * size + x + i % 5) * channels;
      pixels.fill(200 + i % 50, at, at + channels);
    }
  }
  return encodePng({ pixels, width: size, height: size, channels });
}

/** A folder with `count` pictures in each of these subfolders. */
export async function pictureFolder(
  path: string,
  classes: readonly string[],
  count: number,
): Promise<void> {
  for (const [c, name] of classes.entries()) {
    await Deno.mkdir(`${path}/${name}`, { recursive: true });
    for (let i = 0; i < count; i++) {
      await Deno.writeFile(`${path}/${name}/${i}.png`, squarePng(i + 7 * c));
    }
  }
}

/** An IDX file of unsigned bytes. */
export function idxFile(dims: readonly number[], data: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 + 4 * dims.length + data.length);
  bytes.set([0, 0, 8, dims.length]);
  dims.forEach((d, i) => new DataView(bytes.buffer).setUint32(4 + 4 * i, d));
  bytes.set(Array.from(data), 4 + 4 * dims.length);
  return bytes;
}

/** Keys of a recipe whose run takes a second. */
export const tinyRecipe = {
  size: 8,
  channels: 1,
  block_out_channels: [8, 8],
  attention: [false, true],
  norm_num_groups: 4,
  batch: 4,
  num_train_timesteps: 20,
  warmup: 2,
  sample_steps: 2,
};
