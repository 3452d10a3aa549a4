/**
 * Engines that run in the calling thread, imported statically: for edge runtimes, browsers and whatever
 * bundles. Bundlers leave out the one that is not used.
 *
 * @example
 * ```ts ignore
 * import { load } from "@denoise/denoise";
 * import { simdInline } from "@denoise/denoise/inline";
 * const model = await load("https://example.org/weights/", { backend: simdInline() });
 * ```
 *
 * @module
 */
export { simdInline, type SimdInlineOptions } from "./simd/inline.ts";
export { wasmInline, type WasmInlineOptions } from "./onnxruntime/wasm_inline.ts";
export type { OrtBackend } from "./onnxruntime/onnx.ts";
export type { Emitter, Lowering, LowerOp, OnnxAttribute } from "../onnx/lowering.ts";
export type { OrtModule } from "./onnxruntime/ort.ts";
export type {
  Backend,
  FlatParams,
  GraphWeights,
  OnnxBackend,
  Session,
  SessionOptions,
  Tensor,
  TensorData,
  Tensors,
} from "./backend.ts";
export type {
  AttributeValue,
  ConstantData,
  Dim,
  ElementType,
  Node,
  Shape,
  Value,
} from "../graph/value.ts";
export type { Graph } from "../graph/graph.ts";
