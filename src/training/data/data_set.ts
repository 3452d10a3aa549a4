/** Pictures to learn from. */

/** What training draws from. */
export interface PictureSource {
  /** Infinity where pictures are drawn as they are asked for; training then sees none twice. */
  readonly length: number;
  /** [C, H, W] of every picture. */
  readonly shape: readonly [number, number, number];
  /** Each picture's class, where there are classes. */
  readonly labels?: { at(i: number): number | undefined };
  /** The classes' names, in order of index. */
  readonly labelNames?: readonly string[];
  /** What may be done with the pictures, where the source says so. */
  readonly license?: string;
  /** Writes picture i as [C, H, W] in −1 … 1 into `out`. */
  picture(i: number, out: Float32Array): void;
  /** Files that could not be read, with the reason of each. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** Pictures that are all there, held as bytes. */
export interface DataSet extends PictureSource {
  readonly labels?: Int32Array;
}

/** How a set is read. */
export interface DataOptions {
  /** [height, width] that every picture is brought to. */
  readonly size: readonly [number, number];
  /** 1 is grey, 3 is RGB. */
  readonly channels: 1 | 3;
  /** Which of a set's own parts: MNIST's files come as `train` and `t10k`. Default "train". */
  readonly split?: Split;
  /** Stops the reading of a folder. */
  readonly signal?: AbortSignal;
  /** Told how far the reading of a folder is. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A part of a set that comes in two. */
export type Split = "train" | "test";

/** A set over bytes that lie [N, C, H, W]. */
export function bytesDataSet(
  bytes: Uint8Array,
  shape: readonly [number, number, number],
  rest: Pick<DataSet, "labels" | "labelNames"> & Partial<Pick<DataSet, "skipped">> = {},
): DataSet {
  const size = shape.reduce((a, b) => a * b);
  return {
    length: bytes.length / size,
    shape,
    skipped: [],
    ...rest,
    picture(i, out) {
      const from = i * size;
      for (let p = 0; p < size; p++) out[p] = bytes[from + p] / 127.5 - 1;
    },
  };
}
