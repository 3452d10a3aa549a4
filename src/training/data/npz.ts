/** Pictures in numpy's arrays and archives. */
import { InputError } from "../../errors.ts";
import { type NpyArray, parseNpy } from "../../files/npy.ts";
import { readNpz } from "../../image/npz.ts";
import { bytesDataSet, type DataOptions, type DataSet, type Split } from "./data_set.ts";
import { fitPictures } from "./fit.ts";
import { numberedClasses } from "./labels.ts";

/** Names of the pictures' array and the labels' beside it, by the part of the set that they are. */
const arrays: readonly {
  readonly split?: Split;
  readonly images: string;
  readonly labels: string;
}[] = [
  { images: "images", labels: "labels" },
  // improved-diffusion's sample files.
  { images: "arr_0", labels: "arr_1" },
  // MedMNIST; what it keeps for validation is left alone.
  { split: "train", images: "train_images", labels: "train_labels" },
  { split: "test", images: "test_images", labels: "test_labels" },
  // Keras' mnist.npz and its like.
  { split: "train", images: "x_train", labels: "y_train" },
  { split: "test", images: "x_test", labels: "y_test" },
];

/**
 * An archive with pictures, uint8 [N, H, W, C] or [N, H, W], and maybe labels [N] or [N, 1], under the
 * names that improved-diffusion, MedMNIST and Keras use. Other arrays in it may be of any kind.
 * @throws InputError naming the arrays that were found where these are not among them
 */
export async function openNpz(path: string, options: DataOptions): Promise<DataSet> {
  const { split = "train" } = options;
  const bytes = await Deno.readFile(path);
  const names = new Set<string>();
  const known = arrays.flatMap(({ images, labels }) => [images, labels]);
  const found = await readNpz(bytes, path, undefined, (name) => {
    names.add(name);
    return known.includes(name);
  });
  const parts = arrays.filter(({ images }) => found.has(images));
  const part = parts.find((part) => part.split === undefined || part.split === split);
  if (!part) {
    throw new InputError(
      `${path}: expected pictures named ${
        arrays.filter((part) => (part.split ?? split) === split)
          .map(({ images }) => `"${images}"`).join(", ")
      }, found ${[...names].join(", ")}`,
    );
  }
  // A set that comes whole has no other part.
  const others = (part.split === undefined ? [] : parts.filter((other) => other !== part))
    .flatMap(({ labels }) => found.has(labels) ? [found.get(labels)!.data] : []);
  return dataSetOf(path, found.get(part.images)!, found.get(part.labels), others, options);
}

/** Pictures alone, as one array. */
export async function openNpy(path: string, options: DataOptions): Promise<DataSet> {
  const images = parseNpy(await Deno.readFile(path), path);
  return dataSetOf(path, images, undefined, [], options);
}

/** Whether an archive has a part of its own that is kept from training. */
export async function npzHasTest(path: string): Promise<boolean> {
  const tests = arrays.flatMap(({ split, images }) => split === "test" ? [images] : []);
  let has = false;
  await readNpz(await Deno.readFile(path), path, undefined, (name) => {
    has ||= tests.includes(name);
    return false;
  });
  return has;
}

function dataSetOf(
  path: string,
  images: NpyArray,
  labels: NpyArray | undefined,
  others: readonly NpyArray["data"][],
  options: DataOptions,
): DataSet {
  const [length, height, width, channels = 1] = images.shape;
  if (
    !(images.data instanceof Uint8Array) || ![3, 4].includes(images.shape.length) ||
    ![1, 3, 4].includes(channels)
  ) {
    throw new InputError(
      `${path}: expected pictures as uint8 [N, height, width] or [N, height, width, channels], found ${
        images.data instanceof Uint8Array ? "" : "other numbers "
      }[${images.shape}]`,
    );
  }
  const bytes = fitPictures(images.data, { length, height, width, channels }, options);
  const shape = [options.channels, ...options.size] as const;
  if (!labels) return bytesDataSet(bytes, shape);
  if (labels.data.length !== length) {
    throw new InputError(`${path}: expected ${length} labels, found [${labels.shape}]`);
  }
  return bytesDataSet(bytes, shape, numberedClasses(labels.data, path, others));
}
