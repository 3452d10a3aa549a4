/**
 * Pictures in blocks of channels, the layout in which onnxruntime's CPU convolutions are fastest:
 * x [N, C, H, W] lies in memory as [N, C/B, H, W, B]. onnxruntime brings a network with constant
 * weights into this layout itself; in a training graph the weights are computed, so it is written
 * out here with the operators of the domain `com.microsoft.nchwc`.
 *
 * A tensor may be known under two names, plain and blocked. Lowerings return the plain one and ask
 * for the blocked one where they compute with it; conversions that nobody reads are not written.
 */
import { type Emitter, once, type OnnxAttribute } from "../../lowering.ts";
import type { Value } from "../../../graph/value.ts";

const DOMAIN = "com.microsoft.nchwc";

/** n, filled up to whole blocks. */
export function roundUp(n: number, block: number): number {
  return Math.ceil(n / block) * block;
}

/** The note that holds the blocked name of a tensor. */
const blockedName = (plain: string) => `${plain} in blocks`;

/** Whether `value` is a batch of pictures of known size whose channels fill whole blocks. */
export function isBlockable(value: Value, block: number): boolean {
  const { shape, type } = value;
  return type === "float32" && shape.length === 4 && shape.every((d) => typeof d === "number") &&
    (shape[1] as number) % block === 0;
}

/** Whether the tensor has been computed in blocks. */
export function isBlocked(e: Emitter, name: string): boolean {
  return e.notes.has(blockedName(name));
}

/** The blocked name of a plain tensor [N, C, H, W] whose channels fill whole blocks. */
export function toBlocked(e: Emitter, name: string): string {
  return once(e, blockedName(name), () => blockedOp(e, "ReorderInput", [name]));
}

/** The plain name of a blocked tensor, of which `channels` are meant. */
export function fromBlocked(e: Emitter, blocked: string, channels: number, padded = false): string {
  const name = blockedOp(e, "ReorderOutput", [blocked], { channels });
  if (!padded) e.notes.set(blockedName(name), blocked);
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
  return once(e, `mean of ${blocked}`, () => blockedOp(e, "GlobalAveragePool", [blocked]));
}
