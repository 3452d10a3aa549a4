/** Inpainting: the pixels that a mask keeps. */
import type { LinearOperator } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import type { OperatorPlugin } from "../operator.ts";
import { denoising } from "./denoising.ts";

/**
 * y keeps what an operator whose U is the identity (denoising, block means, grey) measures at the
 * pixels with mask 1, and is 0 elsewhere: H is that operator with the other rows left out.
 * @param mask 1 or 0 for each pixel of the inner operator's y, the same for all its channels
 */
export function masked(inner: LinearOperator, mask: Uint8Array): LinearOperator {
  const [channels, height, width] = inner.measured;
  const area = height * width;
  if (mask.length !== area) {
    throw new InputError(
      `mask: expected ${width}×${height} pixels as the picture has, found ${mask.length} pixels`,
    );
  }
  const hidden = Array.from({ length: channels * area }, (_, i) => i).filter((i) =>
    mask[i % area] === 0
  );
  const keep = (y: Float64Array) => {
    for (const i of hidden) y[i] = 0;
    return y;
  };
  // A component is missing where all that it puts into y lies under the mask.
  const s = inner.s.slice();
  const shown = new Uint8Array(s.length);
  const marked = inner.Ut(Float64Array.from({ length: channels * area }, (_, i) => mask[i % area]));
  marked.forEach((m, i) => shown[i] = m !== 0 ? 1 : 0);
  for (let i = 0; i < s.length; i++) if (!shown[i]) s[i] = 0;
  const name = inner.name === "denoising" ? "inpainting" : `${inner.name}, inpainting`;
  return {
    ...inner,
    name,
    s,
    apply: (x) => keep(inner.apply(x)),
    Ut: (y) => inner.Ut(y).map((c, i) => shown[i] ? c : 0),
    U: (c) => keep(inner.U(c)),
  };
}

const plugin: OperatorPlugin = {
  name: "inpainting",
  api: 1,
  description: "pixels that a mask hides",
  mask: true,
  create({ shape, mask }) {
    if (!mask) throw new InputError("inpainting: expected a mask, found none");
    return masked(denoising(shape), mask);
  },
};
export default plugin;
