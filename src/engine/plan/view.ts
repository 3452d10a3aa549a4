/** Where the numbers of a value lie: a window into a buffer, described by strides. */

/** Memory that the plan lays out. */
export interface Buffer {
  readonly bytes: number;
  /** In the arena, or among what stays from run to run. */
  readonly kind: "arena" | "weights";
  /** The address, once memory is laid out. */
  address: number;
  /** The first and last step that touch it; −1 is the host before a run. */
  first: number;
  last: number;
}

/** A tensor's numbers in a buffer. Offset and strides count elements of four bytes. */
export interface View {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
  /**
   * The places up to the next multiple of four channels are there. Steps read and write them with the
   * others, four at a time; what they hold comes into no channel that counts, be it NaN.
   */
  readonly padded?: boolean;
}

export const roundUp = (x: number, to: number): number => Math.ceil(x / to) * to;

export const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

/** Strides of a dense row-major tensor. */
export function rowMajor(dims: readonly number[]): number[] {
  const strides = Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * dims[i + 1];
  return strides;
}

/** Strides of [N, C, H, W] whose pixels lie one after the other, `pixel` elements apart. */
export function pixelStrides([, , height, width]: readonly number[], pixel: number): number[] {
  return [height * width * pixel, 1, width * pixel, pixel];
}

/** Whether strides are these wherever a dimension is longer than one. */
export function sameStrides(view: View, strides: readonly number[]): boolean {
  return view.dims.every((d, i) => d === 1 || view.strides[i] === strides[i]);
}

export function isRowMajor(view: View): boolean {
  return sameStrides(view, rowMajor(view.dims));
}

/** The elements from pixel to pixel of [N, C, H, W], where they lie so; undefined otherwise. */
export function pixelOf(view: View): number | undefined {
  if (view.dims.length !== 4) return undefined;
  const [, channels, height, width] = view.dims;
  const pixel = width > 1 ? view.strides[3] : height > 1 ? view.strides[2] : roundUp(channels, 4);
  const [, ...wanted] = pixelStrides(view.dims, pixel);
  const fits = sameStrides(view, [view.strides[0], ...wanted]);
  return fits && pixel >= channels ? pixel : undefined;
}

/** The same numbers under other dimensions; undefined where that takes a copy. */
export function reshaped(view: View, dims: readonly number[]): View | undefined {
  if (product(dims) === 0) return { ...view, dims, strides: rowMajor(dims), padded: false };
  // Dimensions that lie behind each other count as one run: [length, stride].
  const runs: [number, number][] = [];
  view.dims.forEach((d, i) => {
    if (d === 1) return;
    const before = runs.at(-1);
    if (before && before[1] === d * view.strides[i]) {
      runs[runs.length - 1] = [before[0] * d, view.strides[i]];
    } else runs.push([d, view.strides[i]]);
  });
  const strides: number[] = [];
  let at = 0;
  let rest = runs[0]?.[0] ?? 1;
  for (const dim of dims) {
    if (dim === 1) {
      strides.push(0);
      continue;
    }
    if (rest === 1) rest = runs[++at][0];
    if (rest % dim !== 0) return undefined;
    rest /= dim;
    strides.push(runs[at][1] * rest);
  }
  return { buffer: view.buffer, offset: view.offset, dims, strides };
}

export function transposed(view: View, perm: readonly number[]): View {
  return {
    ...view,
    dims: perm.map((p) => view.dims[p]),
    strides: perm.map((p) => view.strides[p]),
    padded: false,
  };
}

export function sliced(view: View, axis: number, start: number, end: number): View {
  return {
    ...view,
    offset: view.offset + start * view.strides[axis],
    dims: view.dims.with(axis, end - start),
    padded: false,
  };
}

/** Repeated along dimensions of one, as numpy broadcasts. */
export function broadcastTo(view: View, dims: readonly number[]): View {
  const missing = dims.length - view.dims.length;
  const strides = dims.map((d, i) => {
    const own = view.dims[i - missing];
    return own === undefined || (own === 1 && d !== 1) ? 0 : view.strides[i - missing];
  });
  return { ...view, dims, strides, padded: false };
}
