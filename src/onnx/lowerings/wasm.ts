/**
 * onnxruntime's WebAssembly CPU kernels: Winograd where it is faster, and convolutions written so
 * that a picture's numbers do not depend on the batch it is in.
 */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, extendLowering, type LowerOp } from "../lowering.ts";
import type { ConvGeometry } from "../../graph/ops/linear.ts";
import type { Value } from "../../graph/value.ts";
import { inputGradAs } from "./conv_grad.ts";
import { fused } from "./fused.ts";
import { suitsWinograd, winograd } from "./winograd.ts";

// With a batch above 1 MLAS gives each thread whole images; with a batch of 1 it splits the pixels, and
// tiles of 64 pixels or fewer change the order of summation (onnxruntime's mlas/lib/convolve.cpp, found
// by comparing batches), so that it rounds differently (up to 4e-6 was seen).

/** The sum is never split at up to this many terms. */
const UNSPLIT_TERMS = 128;
/** A thread's piece of this many pixels is summed as a whole picture is. */
const UNAFFECTED_PIECE = 128;
/** The most threads that this lowering is right for; the wasm backend starts no more. */
export const MAX_THREADS = 16;

function sameInAnyBatch(value: Value): boolean {
  const [out, channels, kh, kw] = value.node.inputs[1].shape as number[];
  const [h, w] = value.shape.slice(2) as number[];
  return channels * kh * kw <= UNSPLIT_TERMS || h * w >= UNAFFECTED_PIECE * MAX_THREADS ||
    out > h * w; // summed by the matrix product, which is cut by rows then
}

/** The picture as two strips, upper and lower, so that there are never fewer than two in a batch. */
function convInStrips(e: Emitter, value: Value, [x, ...weights]: readonly string[]): string {
  const { stride, padding: [top, left, bottom, right] } = attributesOf<ConvGeometry>(value.node);
  const [kh, kw] = value.node.inputs[1].shape.slice(2) as number[];
  const h = value.shape[2] as number;
  const half = Math.ceil(h / 2);
  const inputRows = (half - 1) * stride + kh;

  const padded = top || bottom ? e.op("Pad", [x, e.int64([top, bottom]), "", e.int64([2])]) : x;
  const strip = (row: number) =>
    e.op("Slice", [
      padded,
      e.int64([row * stride]),
      e.int64([row * stride + inputRows]),
      e.int64([2]),
    ]);
  const strips = e.op("Concat", [strip(0), strip(h - half)], { axis: 0 });
  const y = e.op("Conv", [strips, ...weights], {
    kernel_shape: [kh, kw],
    strides: [stride, stride],
    pads: [0, left, 0, right],
  });
  const [upper, lower] = e.ops("Split", [y], 2, { axis: 0, num_outputs: 2 });
  // Of an odd height the middle row is in both.
  const rest = h % 2 ? e.op("Slice", [lower, e.int64([1]), e.int64([half]), e.int64([2])]) : lower;
  return e.op("Concat", [upper, rest], { axis: 2 });
}

const conv2d: LowerOp = (e, value, inputs) => {
  const weight = value.node.inputs[1];
  // Weights that are not known yet are being trained, where the batch does not change.
  if (!e.data(weight)) return fused.ops.conv2d(e, value, inputs);
  if (suitsWinograd(value)) return winograd.ops.conv2d(e, value, inputs);
  if (sameInAnyBatch(value) || value.shape[2] === 1) return fused.ops.conv2d(e, value, inputs);
  return convInStrips(e, value, inputs);
};

export const wasm = extendLowering(winograd, "wasm", {
  conv2d,
  conv2dInputGrad: inputGradAs(conv2d),
});
