/** MNIST's files: pictures and labels as IDX arrays beside each other. */
import { InputError } from "../../errors.ts";
import { bytesDataSet, type DataOptions, type DataSet } from "./data_set.ts";
import { fitPictures } from "./fit.ts";
import { parseIdx } from "./idx.ts";

/** The IDX files of pictures in a folder. */
export async function idxImagesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (/idx[34]-ubyte(\.gz)?$/i.test(name)) found.push(`${folder}/${name}`);
  }
  return found.sort();
}

/** @param files IDX files of pictures; that of the split asked for is taken */
export async function openIdx(
  files: readonly string[],
  source: string,
  options: DataOptions,
): Promise<DataSet> {
  const { split = "train" } = options;
  const isTest = (file: string) => /t10k|test/i.test(file.slice(file.lastIndexOf("/")));
  const path = files.length === 1
    ? files[0]
    : files.find((file) => isTest(file) === (split === "test"));
  if (!path) throw new InputError(`data ${source}: expected IDX files of its ${split} part`);

  const images = await parseIdx(await Deno.readFile(path), path);
  const [length, height, width, channels = 1] = images.dims;
  if (images.dims.length < 3 || (channels !== 1 && channels !== 3)) {
    throw new InputError(
      `${path}: expected pictures [N, height, width] or [N, height, width, 3], found [${images.dims}]`,
    );
  }
  const bytes = fitPictures(images.data, { length, height, width, channels }, options);
  return bytesDataSet(bytes, [options.channels, ...options.size], await labelsOf(path, length));
}

async function labelsOf(imagesPath: string, length: number) {
  const path = imagesPath.replace(/images([-.])idx[34]/i, "labels$1idx1");
  const file = path === imagesPath ? undefined : await Deno.readFile(path).catch(() => undefined);
  if (!file) return {};
  const { dims, data } = await parseIdx(file, path);
  if (dims.length !== 1 || data.length !== length) {
    throw new InputError(`${path}: expected ${length} labels, found [${dims}]`);
  }
  return withLabels(Int32Array.from(data));
}

/** Labels as they are counted, from 0 to the largest, which also are their names. */
export function withLabels(labels: Int32Array) {
  const classes = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  return { labels, labelNames: Array.from({ length: classes }, (_, i) => String(i)) };
}
