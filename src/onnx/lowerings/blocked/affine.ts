/** Scaling and shifting channels of blocked pictures. */
import type { Emitter } from "../../lowering.ts";
import { blockedOp } from "./layout.ts";

export interface AffineTerms {
  /** Factor and shift: N·C numbers in any shape. The shift may be left out. */
  readonly factor: string;
  readonly shift?: string;
  /** A blocked tensor as x that is added. */
  readonly plus?: string;
}

/**
 * factor·x + shift + plus of a blocked x [N, C, H, W], with a factor and a shift for each picture's
 * channel: the convolution of one picture with N·C channels, each by its own 1×1 kernel. That is one
 * pass over memory, where broadcasting over blocks is slow.
 */
export function affine(
  e: Emitter,
  x: string,
  [n, c, h, w]: readonly number[],
  { factor, shift, plus }: AffineTerms,
): string {
  const as = (name: string, dims: number[]) => e.op("Reshape", [name, e.int64(dims)]);
  const one = [1, n * c, h, w];
  const inputs = [as(x, one), as(factor, [n * c, 1, 1, 1])];
  if (shift !== undefined || plus !== undefined) {
    inputs.push(shift === undefined ? "" : as(shift, [n * c]));
  }
  if (plus !== undefined) inputs.push(as(plus, one));
  const y = blockedOp(e, "Conv", inputs, { kernel_shape: [1, 1], group: n * c });
  return as(y, [n, c, h, w]);
}

/** The same number for every picture's channel. */
export function everywhere(e: Emitter, x: number, [n, c]: readonly number[]): string {
  return e.op("Expand", [e.scalar(x), e.int64([n * c])]);
}
