/** Pictures to learn from, held as bytes. */

export interface DataSet {
  readonly length: number;
  /** [C, H, W] of every picture. */
  readonly shape: readonly [number, number, number];
  /** Each picture's class, where the set has classes. */
  readonly labels?: Int32Array;
  /** The classes' names, in order of index. */
  readonly labelNames?: readonly string[];
  /** Writes picture i as [C, H, W] in −1 … 1 into `out`. */
  picture(i: number, out: Float32Array): void;
  /** Files that could not be read, with the reason of each. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

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
