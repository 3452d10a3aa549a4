/** Dropout masks from a counter-based hash in 32-bit integers. */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, type LowerOp } from "../lowering.ts";
import type { DropoutOptions } from "../../graph/ops/dropout.ts";

const GOLDEN_RATIO = 0x9e3779b9;

const uint32 = (e: Emitter, x: number) =>
  e.cast(e.constant(new BigInt64Array([BigInt(x)]), []), "uint32");

function xorShift(e: Emitter, x: string, bits: number): string {
  const shifted = e.op("BitShift", [x, uint32(e, bits)], { direction: "RIGHT" });
  return e.op("BitwiseXor", [x, shifted]);
}

/** murmur3's finaliser without its last shift, which does not change the high bits that decide. */
function mix(e: Emitter, x: string): string {
  const once = e.op("Mul", [xorShift(e, x, 16), uint32(e, 0x85ebca6b)]);
  return e.op("Mul", [xorShift(e, once, 13), uint32(e, 0xc2b2ae35)]);
}

/**
 * mix(mix(key + layer·φ) ⊕ mix(index)) ≥ rate·2³². The indices' part is the same on every run, so
 * the engine computes it once, when it loads the graph.
 */
export const dropoutMask: LowerOp = (e, value, [keys]) => {
  const { rate, layer } = attributesOf<DropoutOptions>(value.node);
  const unit = value.shape.slice(1) as number[];
  const units = unit.reduce((n, d) => n * d, 1);
  const int64 = (x: number) => e.constant(new BigInt64Array([BigInt(x)]), []);
  const indices = e.op("Range", [int64(0), int64(units), int64(1)]);
  const perUnit = mix(
    e,
    e.op("Reshape", [e.cast(indices, "uint32"), e.int64([1, ...unit])]),
  );
  const offset = uint32(e, Math.imul(layer + 1, GOLDEN_RATIO) >>> 0);
  const perPicture = mix(e, e.op("Add", [e.cast(keys, "uint32"), offset]));
  const column = e.op("Reshape", [perPicture, e.int64([-1, ...unit.map(() => 1)])]);
  const hash = mix(e, e.op("BitwiseXor", [column, perUnit]));
  const kept = e.op("GreaterOrEqual", [hash, uint32(e, Math.round(rate * 2 ** 32))]);
  return e.op("Mul", [e.cast(kept, "float32"), e.scalar(1 / (1 - rate))]);
};
