/** How large a finished picture is: whole multiples of the network's pixels, on a canvas of any size. */
import { FieldError } from "../errors.ts";

/** Width and height in pixels. */
export type Size = readonly [width: number, height: number];

/** The largest `scale`: a pixel of 256 × 256. */
export const MAX_SCALE = 256;

type Shape = readonly [channels: number, height: number, width: number];

/** "128" is 128 × 128; "128x96" as it says; undefined for another text. */
export function sizeFromText(text: string): Size | undefined {
  const [, width, height = width] = /^\s*(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?\s*$/i.exec(text) ?? [];
  return width === undefined ? undefined : [Number(width), Number(height)];
}

/** What is asked for in words: "28x28 to 1792x1792". */
export function sizesOf([, height, width]: Shape, most = MAX_SCALE): string {
  return `a width and height from ${width}x${height} to ${most * width}x${most * height}`;
}

/**
 * The largest whole multiple that fits a size, and the size itself where that leaves room around it.
 * @throws FieldError where a picture does not fit in
 */
export function enlargementTo(
  shape: Shape,
  size: Size,
  most = MAX_SCALE,
): { scale?: number; size?: Size } {
  const [, height, width] = shape;
  const scale = Math.floor(Math.min(size[0] / width, size[1] / height));
  const fits = size.every(Number.isSafeInteger) && scale >= 1 && size[0] <= most * width &&
    size[1] <= most * height;
  if (!fits) throw new FieldError("size", sizesOf(shape, most), size.join("x"));
  const exact = size[0] === scale * width && size[1] === scale * height;
  return { ...(scale === 1 ? {} : { scale }), ...(exact ? {} : { size }) };
}

/** How many pixels a recipe's file has across and down. */
export function sizeOfFile(
  [, height, width]: Shape,
  { scale = 1, size }: { readonly scale?: number; readonly size?: Size },
): Size {
  return size ?? [scale * width, scale * height];
}
