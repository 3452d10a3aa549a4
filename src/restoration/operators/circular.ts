/** Blur by any kernel with the picture repeating beyond its edges: motion blur. */
import type { LinearOperator, Vector } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import { type Complex, fourier2d, packReal, unpackReal } from "../linear/fourier.ts";
import { seen } from "../linear/svd.ts";
import type { OperatorPlugin, PictureShape } from "../operator.ts";

/**
 * A circular convolution is diagonal in the Fourier basis: s = |k̂|, and U is V with each frequency
 * turned by k̂'s phase.
 * @param kernel [H, W] taps by their offset from the origin, negative ones at the far end
 */
export function circular(name: string, shape: PictureShape, kernel: Float64Array): LinearOperator {
  const [channels, height, width] = shape;
  const area = height * width;
  const root = Math.sqrt(area);
  const unitary = fourier2d({ re: kernel, im: new Float64Array(area) }, height, width);
  const k = { re: unitary.re.map((v) => v * root), im: unitary.im.map((v) => v * root) };
  const size = k.re.map((re, i) => Math.hypot(re, k.im[i]));
  const phase: Complex = {
    re: k.re.map((re, i) => size[i] > 0 ? re / size[i] : 1),
    im: k.im.map((im, i) => size[i] > 0 ? im / size[i] : 0),
  };
  const turned = ({ re, im }: Complex, by: Complex, sign: 1 | -1): Complex => ({
    re: re.map((a, i) => a * by.re[i] - sign * im[i] * by.im[i]),
    im: im.map((b, i) => b * by.re[i] + sign * re[i] * by.im[i]),
  });
  const perChannel = (x: Vector, transform: (channel: Float64Array) => Float64Array) => {
    const out = new Float64Array(x.length);
    for (let c = 0; c < channels; c++) {
      out.set(transform(Float64Array.from(x.subarray(c * area, (c + 1) * area))), c * area);
    }
    return out;
  };
  const forward = (x: Float64Array) =>
    fourier2d({ re: x, im: new Float64Array(area) }, height, width);
  const back = (x: Complex) => fourier2d(x, height, width, true).re;
  const s = new Float64Array(channels * area);
  for (let c = 0; c < channels; c++) s.set(size, c * area);
  return {
    name,
    shape,
    measured: shape,
    s,
    apply: (x) => perChannel(x, (channel) => back(turned(forward(channel), k, 1))),
    Vt: (x) => perChannel(x, (channel) => packReal(forward(channel), height, width)),
    V: (x_bar) => perChannel(x_bar, (channel) => back(unpackReal(channel, height, width))),
    Ut: (y) =>
      perChannel(
        y,
        (channel) => seen(size, packReal(turned(forward(channel), phase, -1), height, width)),
      ),
    U: (c) =>
      perChannel(
        c,
        (channel) => back(turned(unpackReal(seen(size, channel), height, width), phase, 1)),
      ),
  };
}

/** A line through the origin, its taps shared out bilinearly, their sum 1. */
export function motionKernel(
  length: number,
  degrees: number,
  height: number,
  width: number,
): Float64Array {
  const kernel = new Float64Array(height * width);
  const angle = degrees * Math.PI / 180;
  const points = 4 * Math.ceil(length);
  for (let i = 0; i < points; i++) {
    const along = (i / (points - 1) - 0.5) * (length - 1);
    const x = along * Math.cos(angle), y = -along * Math.sin(angle);
    const [left, top] = [Math.floor(x), Math.floor(y)];
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const share = (1 - Math.abs(x - left - dx)) * (1 - Math.abs(y - top - dy));
      const row = (((top + dy) % height) + height) % height;
      const column = (((left + dx) % width) + width) % width;
      kernel[row * width + column] += share / points;
    }
  }
  return kernel;
}

const plugin: OperatorPlugin = {
  name: "motion",
  api: 1,
  description: "the blur of a moving camera; the picture repeats beyond its edges",
  options: {
    length: {
      type: "number",
      description: "how far it moved, in pixels",
      default: 7,
      minimum: 2,
      maximum: 101,
    },
    angle: {
      type: "number",
      description: "which way, in degrees from the horizontal",
      default: 0,
      minimum: -360,
      maximum: 360,
    },
  },
  create({ shape, options }) {
    const [length, angle] = [Number(options.length), Number(options.angle)];
    const [, height, width] = shape;
    const most = Math.max(height, width);
    if (!(length >= 2 && length <= most)) {
      throw new InputError(`motion: expected a length of 2 to ${most} pixels, found ${length}`);
    }
    return circular(
      `motion blur ${length} at ${angle}°`,
      shape,
      motionKernel(length, angle, height, width),
    );
  },
};
export default plugin;
