/** Colourisation: y is the luma of x, or what another operator makes of the luma. */
import type { LinearOperator, Vector } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import type { OperatorPlugin, PictureShape } from "../operator.ts";
import { denoising } from "./denoising.ts";

/** ITU-R BT.601, by which pictures are made grey everywhere here. */
const LUMA = [0.299, 0.587, 0.114];
const LENGTH = Math.hypot(...LUMA);
/** w = h/‖h‖ − e_1 of the reflection that takes a pixel's grey direction to its first channel. */
const W = LUMA.map((h, c) => h / LENGTH - (c === 0 ? 1 : 0));
const WW = W.reduce((sum, w) => sum + w * w, 0);

/** [3, H, W] to one channel. */
function lumaOf(x: Vector): Float64Array {
  const area = x.length / 3;
  return Float64Array.from(
    { length: area },
    (_, p) => LUMA[0] * x[p] + LUMA[1] * x[area + p] + LUMA[2] * x[2 * area + p],
  );
}

/** Each pixel reflected so that its first channel is hᵀx/‖h‖; its own inverse. */
function reflect(x: Vector): Float64Array {
  const area = x.length / 3;
  const out = Float64Array.from(x);
  for (let p = 0; p < area; p++) {
    const share = 2 * (W[0] * x[p] + W[1] * x[area + p] + W[2] * x[2 * area + p]) / WW;
    for (let c = 0; c < 3; c++) out[c * area + p] -= share * W[c];
  }
  return out;
}

/**
 * `inner` of the luma. H = A G with G's rows orthogonal and of length ‖h‖, so that A's own
 * decomposition, scaled by ‖h‖, is that of the first of three rotated channels; the others are missing.
 * @param inner an operator of one channel; default the luma itself
 */
export function grey(
  [channels, height, width]: PictureShape,
  inner: LinearOperator = denoising([1, height, width]),
): LinearOperator {
  if (channels !== 3) {
    throw new InputError(
      `colour: these weights draw ${channels} channel${channels === 1 ? "" : "s"}, colours need 3`,
    );
  }
  const area = height * width;
  const s = new Float64Array(3 * area);
  s.set(inner.s.map((value) => value * LENGTH));
  const extended = (first: Float64Array) => {
    const out = new Float64Array(3 * area);
    out.set(first);
    return out;
  };
  return {
    name: inner.name === "denoising" ? "grey" : `grey, ${inner.name}`,
    shape: [3, height, width],
    measured: inner.measured,
    s,
    apply: (x) => inner.apply(lumaOf(x)),
    Vt(x) {
      const rotated = reflect(x);
      rotated.set(inner.Vt(rotated.subarray(0, area)));
      return rotated;
    },
    V(x_bar) {
      const rotated = Float64Array.from(x_bar);
      rotated.set(inner.V(x_bar.subarray(0, area)));
      return reflect(rotated);
    },
    Ut: (y) => extended(inner.Ut(y)),
    U: (c) => inner.U(c.subarray(0, area)),
  };
}

const plugin: OperatorPlugin = {
  name: "grey",
  api: 1,
  description: "a picture without its colours",
  create: ({ shape }) => grey(shape),
};
export default plugin;
