/** Correlations of batches of blocked pictures: what a convolution's weight gradient is. */
import type { Emitter } from "../../lowering.ts";
import { blockedOp, roundUp, toBlocked } from "./layout.ts";

/** A tensor [N, C, H, W] under its plain name. */
export interface Pictures {
  readonly name: string;
  readonly shape: readonly [number, number, number, number];
}

interface Correlation {
  /** [N, C, …], padded by `before` rows and columns at the top and on the left. */
  readonly sliding: Pictures;
  /** [N, O, h, w] */
  readonly fixed: Pictures;
  /** Offsets of interest, from 0: rows, columns. */
  readonly size: readonly [number, number];
  readonly stride: number;
  readonly before: readonly [number, number];
}

/**
 * r[o, c, i, j] = Σ_{n,y,x} fixed[n, o, y, x]·sliding[n, c, y·stride + i, x·stride + j], which with
 * fixed = dy is a convolution's weight gradient. It is itself a convolution, by `fixed`, with pictures
 * and channels in exchanged roles and the stride as dilation. A block of the sliding side's channels
 * lies side by side in the width, so that one pass over `fixed` serves all of them.
 */
export function correlate(
  e: Emitter,
  { sliding, fixed, size: [kh, kw], stride, before }: Correlation,
  block: number,
): string {
  const channels = sliding.shape[1];
  const [, out, h, w] = fixed.shape;
  const outs = roundUp(out, block);
  const side = channels < block ? 1 : block;
  const seen = [(h - 1) * stride + kh, (w - 1) * stride + kw] as const;
  const r = blockedOp(e, "Conv", [
    picturesAsChannels(e, sliding, seen, before, side, block),
    picturesAsKernels(e, fixed, block),
  ], { kernel_shape: [h, w], dilations: [stride, stride * side] });
  const split = e.op("Reshape", [
    r,
    e.int64([channels / side, outs / block, kh, kw, side, block]),
  ]);
  const ordered = e.op("Transpose", [split], { perm: [1, 5, 0, 4, 2, 3] });
  const all = e.op("Reshape", [ordered, e.int64([outs, channels, kh, kw])]);
  return outs === out ? all : e.op("Slice", [all, e.int64([0]), e.int64([out]), e.int64([0])]);
}

/**
 * x [N, C, H, W] as a blocked [C/side, N, rows, columns·side]: padded or cut to what the kernels saw,
 * pictures in blocks, `side` channels next to each other in the width.
 */
function picturesAsChannels(
  e: Emitter,
  { name, shape }: Pictures,
  [rows, columns]: readonly [number, number],
  [top, left]: readonly [number, number],
  side: number,
  block: number,
): string {
  const [n, channels, h, w] = shape;
  const groups = channels / side;
  const pictures = roundUp(n, block);
  const lying = e.op("Reshape", [
    side === 1 ? name : toBlocked(e, name),
    e.int64([n, groups, h, w * side]),
  ]);
  const pads = [
    ...[0, top, left * side],
    ...[pictures - n, rows - h - top, (columns - w - left) * side],
  ];
  const padded = pads.some((p) => p !== 0)
    ? e.op("Pad", [lying, e.int64(pads), "", e.int64([0, 2, 3])])
    : lying;
  // Over all elements of a picture at once: [1, N, elements, 1] → [N/B, elements, B].
  const gathered = blockedOp(e, "ReorderInput", [
    e.op("Reshape", [padded, e.int64([1, pictures, groups * rows * columns * side, 1])]),
  ]);
  const split = e.op("Reshape", [
    gathered,
    e.int64([pictures / block, groups, rows * columns * side * block]),
  ]);
  const ordered = groups === 1 || pictures === block
    ? split
    : e.op("Transpose", [split], { perm: [1, 0, 2] });
  return e.op("Reshape", [ordered, e.int64([groups, pictures, rows, columns * side])]);
}

/** A tensor [N, O, h, w] as blocked kernels [O, N, h, w], N and O filled up to whole blocks. */
function picturesAsKernels(e: Emitter, { name, shape }: Pictures, block: number): string {
  const [n, out, h, w] = shape;
  const [pictures, outs] = [roundUp(n, block), roundUp(out, block)];
  const fill = (x: string, axis: number, missing: number) =>
    missing === 0 ? x : e.op("Pad", [x, e.int64([0, missing]), "", e.int64([axis])]);
  const split = e.op("Reshape", [
    fill(toBlocked(e, fill(name, 1, outs - out)), 0, pictures - n),
    e.int64([pictures / block, block, outs / block, h * w, block]),
  ]);
  const ordered = e.op("Transpose", [split], { perm: [2, 0, 3, 1, 4] });
  return e.op("Reshape", [ordered, e.int64([outs, pictures, h, w])]);
}
