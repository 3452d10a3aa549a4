/** Pictures in numpy's archives. */
import { InputError } from "../../errors.ts";
import { readNpz } from "../../image/npz.ts";
import { bytesDataSet, type DataOptions, type DataSet } from "./data_set.ts";
import { fitPictures } from "./fit.ts";
import { withLabels } from "./idx_files.ts";

/**
 * An archive with pictures, uint8 [N, H, W, C] or [N, H, W], as `arr_0` or `images`, and maybe labels
 * [N] as `arr_1` or `labels` (improved-diffusion's sample files are such).
 */
export async function openNpz(path: string, options: DataOptions): Promise<DataSet> {
  const arrays = await readNpz(await Deno.readFile(path), path);
  const images = arrays.get("images") ?? arrays.get("arr_0");
  if (!images || !(images.data instanceof Uint8Array)) {
    throw new InputError(
      `${path}: expected uint8 pictures named "images" or "arr_0", found ${
        [...arrays].map(([name, { shape }]) => `${name} [${shape}]`).join(", ")
      }`,
    );
  }
  const [length, height, width, channels = 1] = images.shape;
  if (![3, 4].includes(images.shape.length) || ![1, 3, 4].includes(channels)) {
    throw new InputError(
      `${path}: expected pictures [N, height, width, channels], found [${images.shape}]`,
    );
  }
  const bytes = fitPictures(images.data, { length, height, width, channels }, options);
  const labels = arrays.get("labels") ?? arrays.get("arr_1");
  if (!labels) return bytesDataSet(bytes, [options.channels, ...options.size]);
  const classes = Int32Array.from(labels.data as ArrayLike<number | bigint>, Number);
  if (classes.length !== length || classes.some((label) => label < 0)) {
    throw new InputError(`${path}: expected ${length} labels from 0, found [${labels.shape}]`);
  }
  return bytesDataSet(bytes, [options.channels, ...options.size], withLabels(classes));
}
