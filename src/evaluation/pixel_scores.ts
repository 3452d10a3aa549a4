/** What can be told of pictures without a classifier: how much of them is smudge. */
import type { DataSet } from "../training/data/data_set.ts";

export interface PixelScores {
  /** The share of values between a tenth and nine tenths of the range: blur, in black and white data. */
  readonly midtones: number;
  /** The share of pictures whose four corners are within 8/255 of one colour: a flat ground. */
  readonly flatGround: number;
}

const TOLERANCE = 8 / 127.5;

export function pixelScores(data: Pick<DataSet, "length" | "shape" | "picture">): PixelScores {
  const [channels, height, width] = data.shape;
  const area = height * width;
  const picture = new Float32Array(channels * area);
  const corners = [0, width - 1, area - width, area - 1];
  let midtones = 0, flat = 0;
  for (let i = 0; i < data.length; i++) {
    data.picture(i, picture);
    for (const x of picture) if (Math.abs(x) < 0.8) midtones++;
    flat += Array.from({ length: channels }, (_, c) => {
        const values = corners.map((p) => picture[c * area + p]);
        return Math.max(...values) - Math.min(...values);
      }).every((spread) => spread <= 2 * TOLERANCE)
      ? 1
      : 0;
  }
  return { midtones: midtones / (data.length * picture.length), flatGround: flat / data.length };
}

/** The mean over pictures of the peak signal-to-noise ratio between two sets, in dB. */
export function meanPsnr(
  a: Pick<DataSet, "length" | "shape" | "picture">,
  b: Pick<DataSet, "picture">,
): number {
  const size = a.shape.reduce((n, d) => n * d);
  const [one, other] = [new Float32Array(size), new Float32Array(size)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    a.picture(i, one);
    b.picture(i, other);
    const error = one.reduce((e, x, p) => e + (x - other[p]) ** 2, 0) / size;
    // Equal pictures have no error to compare with: half a level stands for none.
    sum += 10 * Math.log10(4 / Math.max(error, (1 / 255) ** 2));
  }
  return sum / a.length;
}
