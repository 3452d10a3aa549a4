/** Pictures and masks of any size as what an operator measured. */
import type { LinearOperator } from "../diffusion/mod.ts";
import { FieldError, InputError } from "../errors.ts";
import { fromPixels, type Pixels, withChannels } from "../image/pixels.ts";
import { resizeCrop } from "../image/resize.ts";
import type { Degradation, Mask } from "./degradation.ts";
import type { PictureShape } from "./operator.ts";

/** [C, H, W] of what is given: the weights' size, unless it is smaller or has lost its colours. */
export function givenShape(
  { scale, colour }: Degradation,
  [channels, height, width]: PictureShape,
): PictureShape {
  const { factor } = scale ?? { factor: 1 };
  if (height % factor !== 0 || width % factor !== 0) {
    const expected = `a whole number that divides ${width}×${height}, the size these weights draw`;
    throw new FieldError("scale", expected, factor);
  }
  return [colour ? 1 : channels, height / factor, width / factor];
}

export interface Fitted {
  readonly picture: Pixels;
  /** What had to be done to it, in words. */
  readonly notice?: string;
}

/** A picture in the size and colours that are needed, its middle kept. */
export function fit(
  path: string,
  picture: Pixels,
  [channels, height, width]: PictureShape,
): Fitted {
  if (channels !== 1 && channels !== 3) {
    throw new InputError(`${path}: these weights draw ${channels} channels, pictures have 1 or 3`);
  }
  const coloured = withChannels(picture, channels);
  if (picture.width === width && picture.height === height) return { picture: coloured };
  return {
    picture: resizeCrop(coloured, width, height),
    notice:
      `${path}: cropped and resized from ${picture.width}×${picture.height} to ${width}×${height}`,
  };
}

/** How much of the hole each pixel has, 0 … 255: the transparent where something is, else the white. */
function holeOf(mask: Pixels): Pixels {
  const { pixels, width, height, channels } = mask;
  const area = width * height;
  if (!hasTransparency(mask)) return withChannels(mask, 1);
  const hole = Uint8Array.from({ length: area }, (_, p) => 255 - pixels[(p + 1) * channels - 1]);
  return { pixels: hole, width, height, channels: 1 };
}

/** Whether some of a picture is transparent, and so its own mask. */
export function hasTransparency({ pixels, channels }: Pixels): boolean {
  if (channels % 2 === 1) return false;
  for (let at = channels - 1; at < pixels.length; at += channels) {
    if (pixels[at] < 128) return true;
  }
  return false;
}

/**
 * A mask in the size of what was given. It has that size, or the size of the picture before that was
 * fitted, and is then cropped with it.
 * @param name what to call it in messages
 * @param grow pixels by which the hole is made larger all round
 */
export function readMask(
  name: string,
  mask: Pixels,
  picture: Pixels,
  [, height, width]: PictureShape,
  grow: number,
): Mask {
  const isFit = mask.width === width && mask.height === height;
  if (!isFit && (mask.width !== picture.width || mask.height !== picture.height)) {
    const sizes = [`${picture.width}×${picture.height}`, `${width}×${height}`];
    const expected = `${[...new Set(sizes)].join(" or ")} pixels as the picture has`;
    throw new FieldError(name, expected, `${mask.width}×${mask.height}`);
  }
  const hole = holeOf(mask);
  const { pixels } = isFit ? hole : resizeCrop(hole, width, height);
  const kept = Uint8Array.from(pixels, (level) => level < 128 ? 1 : 0);
  for (let i = 0; i < grow; i++) widen(kept, width, height);
  if (!kept.includes(0)) {
    throw new FieldError(name, "a hole of transparent or white pixels", "none");
  }
  return { kept, width, height };
}

/** The hole a pixel larger, in place. */
function widen(kept: Uint8Array, width: number, height: number): void {
  const before = kept.slice();
  for (let p = 0; p < kept.length; p++) {
    const x = p % width, y = Math.floor(p / width);
    const near = (dx: number, dy: number) =>
      x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height &&
      before[p + dy * width + dx] === 0;
    if (near(-1, 0) || near(1, 0) || near(0, -1) || near(0, 1)) kept[p] = 0;
  }
}

/** A fitted picture as the numbers y. */
export function measured(picture: Pixels, { measured: [c, h, w] }: LinearOperator): Float32Array {
  const y = fromPixels(picture);
  if (y.length === c * h * w) return y;
  throw new InputError(
    `this operator measures ${
      c * h * w
    } numbers that are no picture; only a good picture can be tried on it`,
  );
}
