/** A restoration for the eye: what was given, the answers, the truth. */
import { type Measurement, pseudoInverse } from "../../diffusion/mod.ts";
import { CAPTIONED_WIDTH, captionScale, labelledGrid } from "../../image/labelled_grid.ts";
import { type Pixels, toPixels, withChannels } from "../../image/pixels.ts";
import { enlarge } from "../../image/resize.ts";
import type { Mask } from "../../restoration/degradation.ts";

/** Squares that stand for what is missing, light and dark. */
const CHEQUER = [176, 112];
const SQUARE = 2;

/** y as a picture of the size of x: enlarged where it is smaller, chequered where it is missing. */
export function pictureOfMeasurement(measurement: Measurement, mask?: Mask): Pixels {
  const { operator: { shape, measured }, y } = measurement;
  const [channels, height, width] = shape;
  const colours = channels as 1 | 3;
  const [c, h, w] = measured;
  const factor = height / h;
  if ((c !== 1 && c !== channels) || !Number.isInteger(factor) || w * factor !== width) {
    return toPixels(pseudoInverse(measurement), shape);
  }
  const small = withChannels(toPixels(y, measured), colours);
  if (mask) hide(small, mask);
  return enlarge(small, factor);
}

function hide({ pixels, width, channels }: Pixels, { kept }: Mask): void {
  kept.forEach((keep, p) => {
    if (keep) return;
    const x = p % width, y = Math.floor(p / width);
    const odd = (Math.floor(x / SQUARE) + Math.floor(y / SQUARE)) % 2;
    pixels.fill(CHEQUER[odd], p * channels, (p + 1) * channels);
  });
}

/** All in one picture with words above. */
export function strip(given: Pixels, answers: readonly Pixels[], truth?: Pixels): Pixels {
  const cells = [given, ...answers, ...(truth ? [truth] : [])];
  const numbered = answers.map((_, i) => answers.length === 1 ? "restored" : `answer ${i + 1}`);
  const columns = ["given", ...numbered, ...(truth ? ["truth"] : [])];
  const factor = Math.max(1, Math.ceil(CAPTIONED_WIDTH / given.width));
  const large = cells.map((cell) => enlarge(cell, factor));
  return labelledGrid([large], { rows: [""], columns, scale: captionScale(large[0].width) });
}
