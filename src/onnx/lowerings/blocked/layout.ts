/**
 * Pictures in blocks of channels, the layout in which onnxruntime's CPU convolutions are fastest:
 * x [N, C, H, W] lies in memory as [N, C/B, H, W, B]. onnxruntime brings a network with constant
 * weights into this layout itself; in a training graph the weights are computed, so it is written
 * out here with the operators of the domain `com.microsoft.nchwc`.
 *
 * A tensor may be known under two names, plain and blocked. Lowerings return the plain one and ask
 * for the blocked one where they compute with it; conversions that nobody reads are not written.
 */
import type { Emitter, OnnxAttribute } from "../../lowering.ts";
import type { Value } from "../../../graph/value.ts";

const DOMAIN = "com.microsoft.nchwc";

/** n, filled up to whole blocks. */
export function roundUp(n: number, block: number): number {
  return Math.ceil(n / block) * block;
}

/** The blocked names of one model's tensors, by their plain names. */
const twins = new WeakMap<Emitter, Map<string, string>>();

function twinsOf(e: Emitter): Map<string, string> {
  let map = twins.get(e);
  if (!map) twins.set(e, map = new Map());
  return map;
}

/** Whether `value` is a batch of pictures of known size whose channels fill whole blocks. */
export function isBlockable(value: Value, block: number): boolean {
  const { shape, type } = value;
  return type === "float32" && shape.length === 4 && shape.every((d) => typeof d === "number") &&
    (shape[1] as number) % block === 0;
}

/** Whether the tensor has been computed in blocks. */
export function isBlocked(e: Emitter, name: string): boolean {
  return twinsOf(e).has(name);
}

/** The blocked name of a plain tensor [N, C, H, W] whose channels fill whole blocks. */
export function toBlocked(e: Emitter, name: string): string {
  const map = twinsOf(e);
  const existing = map.get(name);
  if (existing) return existing;
  const blocked = blockedOp(e, "ReorderInput", [name]);
  map.set(name, blocked);
  return blocked;
}

/** The plain name of a blocked tensor, of which `channels` are meant. */
export function fromBlocked(e: Emitter, blocked: string, channels: number, padded = false): string {
  const name = blockedOp(e, "ReorderOutput", [blocked], { channels });
  if (!padded) twinsOf(e).set(name, blocked);
  return name;
}

/** An operator over blocked tensors. */
export function blockedOp(
  e: Emitter,
  type: string,
  inputs: readonly string[],
  attributes: Readonly<Record<string, OnnxAttribute>> = {},
): string {
  return e.op(type, inputs, attributes, DOMAIN);
}

/** Means over the pixels of a blocked [N, C, H, W] as [N, C, 1, 1], which lies the same either way. */
export function pixelMeans(e: Emitter, blocked: string): string {
  const map = twinsOf(e);
  const key = `mean of ${blocked}`;
  const existing = map.get(key);
  if (existing) return existing;
  const means = blockedOp(e, "GlobalAveragePool", [blocked]);
  map.set(key, means);
  return means;
}
