/**
 * 3×3 convolutions as Winograd's F(2×2, 3×3): 16 products for four outputs in place of 36.
 * Source: Lavin & Gray 2016, §4.1, Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, summed over channels by MatMul.
 */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, extendLowering, type Lowering, type LowerOp } from "../lowering.ts";
import type { ConvGeometry } from "../../graph/ops/linear.ts";
import type { Value } from "../../graph/value.ts";
import { fused } from "./fused.ts";

/**
 * Below this many products a pixel the transforms do not pay on WASM: in the digits network (64
 * channels) an evaluation took as long and loading three times as long, some 40 nodes a convolution.
 */
const MIN_PRODUCTS = 96 * 96;

/** G g Gᵀ of every kernel: [O, C, 3, 3] → [16, O, C]. */
function transformKernels(weight: Float32Array, out: number, channels: number) {
  const G = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]];
  const U = new Float32Array(16 * out * channels);
  for (let k = 0; k < out * channels; k++) {
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 4; j++) {
        let u = 0;
        for (let a = 0; a < 3; a++) {
          for (let b = 0; b < 3; b++) u += G[i][a] * weight[k * 9 + a * 3 + b] * G[j][b];
        }
        U[(i * 4 + j) * out * channels + k] = u;
      }
    }
  }
  return U;
}

/**
 * Bᵀ along one axis: d₀−d₂, d₁+d₂, d₂−d₁, d₁−d₃, where dₖ starts at k and takes every second. The
 * four lie one after the other in the channels, so that the second axis takes no more nodes than the
 * first: loading costs milliseconds a node on WASM.
 */
function inputTransform(e: Emitter, x: string, axis: number, size: number): string {
  const every = (k: number) =>
    e.op("Slice", [x, e.int64([k]), e.int64([k + size - 1]), e.int64([axis]), e.int64([2])]);
  const [d0, d1, d2, d3] = [0, 1, 2, 3].map(every);
  return e.op("Concat", [
    e.op("Sub", [d0, d2]),
    e.op("Add", [d1, d2]),
    e.op("Sub", [d2, d1]),
    e.op("Sub", [d1, d3]),
  ], { axis: 1 });
}

/** Aᵀ along an axis of four: m₀+m₁+m₂ and m₁−m₂−m₃. */
function outputTransform(e: Emitter, m: string, axis: number): string {
  const [m0, m1, m2, m3] = e.ops("Split", [m, e.int64([1, 1, 1, 1])], 4, { axis });
  return e.op("Concat", [
    e.op("Add", [e.op("Add", [m0, m1]), m2]),
    e.op("Sub", [e.op("Sub", [m1, m2]), m3]),
  ], { axis });
}

/** Whether a convolution can be written so, and gains by it. */
export function suitsWinograd(value: Value, minProducts = MIN_PRODUCTS): boolean {
  const { stride, padding } = attributesOf<ConvGeometry>(value.node);
  const [out, channels, kh, kw] = value.node.inputs[1].shape as number[];
  const [, , h, w] = value.shape as number[];
  return stride === 1 && kh === 3 && kw === 3 && padding.every((p) => p === 1) &&
    h % 2 === 0 && w % 2 === 0 && out * channels >= minProducts;
}

/** y of a convolution that suits, with the numbers of its kernels. */
function winogradConv(
  e: Emitter,
  value: Value,
  weight: Float32Array,
  inputs: readonly string[],
): string {
  const [out, channels] = value.node.inputs[1].shape as number[];
  const [h, w] = value.shape.slice(2) as number[];
  const [x, , bias] = inputs;

  const padded = e.op("Pad", [x, e.int64([1, 1, 1, 1]), "", e.int64([2, 3])]);
  const V = inputTransform(e, inputTransform(e, padded, 3, w), 2, h);
  const U = e.constant(transformKernels(weight, out, channels), [16, out, channels]);
  const tiles = e.op("Reshape", [V, e.int64([-1, 16, channels, h * w / 4])]);
  const M = e.op("Reshape", [
    e.op("MatMul", [U, tiles]),
    e.int64([-1, 4, 4, out * h * w / 4]),
  ]);
  const blocks = outputTransform(e, outputTransform(e, M, 2), 1);
  const joined = e.op("Reshape", [blocks, e.int64([-1, 4 * out, h / 2, w / 2])]);
  const y = e.op("DepthToSpace", [joined], { blocksize: 2, mode: "DCR" });
  if (bias === undefined) return y;
  return e.op("Add", [y, e.op("Reshape", [bias, e.int64([out, 1, 1])])]);
}

/** @param minProducts input times output channels from which a convolution is written so */
export function winogradFrom(minProducts: number): Lowering {
  const conv2d: LowerOp = (e, value, inputs) => {
    const weight = e.data(value.node.inputs[1]);
    return suitsWinograd(value, minProducts) && weight instanceof Float32Array
      ? winogradConv(e, value, weight, inputs)
      : fused.ops.conv2d(e, value, inputs);
  };
  return extendLowering(fused, "winograd", { conv2d });
}

export const winograd = winogradFrom(MIN_PRODUCTS);
