/** Denoising: H = I. */
import type { LinearOperator } from "../../diffusion/scheduler.ts";
import type { OperatorPlugin, PictureShape } from "../operator.ts";

/** y = x + z. */
export function denoising(shape: PictureShape): LinearOperator {
  const n = shape[0] * shape[1] * shape[2];
  return {
    name: "denoising",
    shape,
    measured: shape,
    s: new Float64Array(n).fill(1),
    apply: (x) => Float64Array.from(x),
    Vt: (x) => Float64Array.from(x),
    V: (x_bar) => Float64Array.from(x_bar),
    Ut: (y) => Float64Array.from(y),
    U: (c) => Float64Array.from(c),
  };
}

const plugin: OperatorPlugin = {
  name: "denoising",
  api: 1,
  description: "noise alone",
  create: ({ shape }) => denoising(shape),
};
export default plugin;
