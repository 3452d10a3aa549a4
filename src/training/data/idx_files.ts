/** MNIST's files: pictures and labels as IDX arrays beside each other. */
import { InputError } from "../../errors.ts";
import { bytesDataSet, type DataOptions, type DataSet } from "./data_set.ts";
import { fitPictures } from "./fit.ts";
import { type IdxArray, parseIdx } from "./idx.ts";
import { numberedClasses } from "./labels.ts";

/** The IDX files of pictures in a folder. */
export async function idxImagesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    if (/idx[34]-ubyte(\.gz)?$/i.test(name)) found.push(`${folder}/${name}`);
  }
  return found.sort();
}

/** Whether a file is the part of its set that is kept from training: its own name says so. */
export function isIdxTest(path: string): boolean {
  return /t10k|test/i.test(path.slice(path.lastIndexOf("/")));
}

/** @param files IDX files of pictures; that of the split asked for is taken */
export async function openIdx(
  files: readonly string[],
  source: string,
  options: DataOptions,
): Promise<DataSet> {
  const { split = "train" } = options;
  const path = files.length === 1
    ? files[0]
    : files.find((file) => isIdxTest(file) === (split === "test"));
  if (!path) throw new InputError(`data ${source}: expected IDX files of its ${split} part`);

  const images = await parseIdx(await Deno.readFile(path), path);
  const [length, height, width, channels = 1] = images.dims;
  if (images.dims.length < 3 || (channels !== 1 && channels !== 3)) {
    throw new InputError(
      `${path}: expected pictures [N, height, width] or [N, height, width, 3], found [${images.dims}]`,
    );
  }
  const bytes = fitPictures(images.data, { length, height, width, channels }, options);
  return bytesDataSet(
    bytes,
    [options.channels, ...options.size],
    await labelsOf(path, length, files),
  );
}

const labelsPath = (imagesPath: string) =>
  imagesPath.replace(/images([-.])idx[34]/i, "labels$1idx1");

async function labelsOf(path: string, length: number, files: readonly string[]) {
  const labels = await readLabels(path);
  if (!labels) return {};
  const { dims, data } = labels;
  if (dims.length !== 1 || data.length !== length) {
    throw new InputError(`${labelsPath(path)}: expected ${length} labels, found [${dims}]`);
  }
  // A part of the set may lack a class that another has.
  const others = await Promise.all(files.filter((other) => other !== path).map(readLabels));
  return numberedClasses(data, labelsPath(path), others.flatMap((part) => part ? [part.data] : []));
}

async function readLabels(imagesPath: string): Promise<IdxArray | undefined> {
  const path = labelsPath(imagesPath);
  if (path === imagesPath) return undefined;
  const file = await readIfThere(path);
  return file && await parseIdx(file, path);
}

/** @throws InputError for a file that is there and cannot be read: pictures would lose their labels */
async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new InputError(`${path}: cannot be read (${(error as Error).message})`);
  }
}
