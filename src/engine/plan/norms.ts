/** Group norms as steps. */
import type { Value } from "../../graph/mod.ts";
import type { Planner } from "./planner.ts";
import { pixelOf, roundUp, type View } from "./view.ts";

/** Channels that are read together: a cache line of them. */
const BLOCK = 16;

const gcd = (a: number, b: number): number => b === 0 ? a : gcd(b, a % b);

/** `root` is the group norm, or the SiLU of it. */
export function lowerNorm(p: Planner, norm: Value, root: Value): void {
  const [source, weight, bias] = norm.node.inputs;
  const { groups, eps } = norm.node.attributes as Record<string, number>;
  const [n, channels, ...sides] = p.dims(norm.shape);
  const pixels = sides.reduce((a, b) => a * b, 1);
  // Of any rank: [N, C, …] is [N, C, 1, pixels].
  const flat = (view: View): View => {
    const rows = p.asRows(view, "groupNorm");
    return {
      ...rows,
      dims: [n, channels, 1, pixels],
      strides: [channels * pixels, pixels, pixels, 1],
    };
  };
  const rank4 = norm.shape.length === 4;
  const x = rank4 ? p.pixels(source) : p.asPixels(flat(p.view(source)), "groupNorm");
  const to = rank4 ? p.pixelOutput(root) : p.pixelsOf([n, channels, 1, pixels]);
  const group = channels / groups;
  const unit = group * 4 / gcd(group, 4);
  const block = Math.min(roundUp(BLOCK, unit), channels);
  const padded = roundUp(block, 4);
  p.step("groupNorm", `norm ${channels}, ${sides.join("×")}`, [
    { place: x },
    4 * pixelOf(x)!,
    n > 1 ? 4 * x.strides[0] : 0,
    { place: to },
    4 * pixelOf(to)!,
    n > 1 ? 4 * to.strides[0] : 0,
    n,
    pixels,
    channels,
    group,
    block,
    { float: eps },
    { place: p.weights.raw(weight) },
    { place: p.weights.raw(bias) },
    root === norm ? 0 : 1,
    { scratch: padded * 28 },
  ]);
  if (!rank4) {
    const result = p.asRows(to, "groupNorm");
    const dims = p.dims(norm.shape);
    const strides = dims.map((_, i) => dims.slice(i + 1).reduce((a, b) => a * b, 1));
    p.set(root, { ...result, dims, strides });
  }
}
