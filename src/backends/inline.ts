/**
 * Engines that are imported statically and touch neither Deno nor node: for edge runtimes, browsers and
 * whatever bundles. They run in the calling thread, or, in a page, in a worker. Bundlers leave out the
 * ones that are not used.
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
export { simdWorker, type SimdWorkerOptions, WORKER_NAME } from "./simd/in_worker.ts";
export { serveSimd } from "./simd/in_worker_body.ts";
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
  StreamedWeights,
  StreamingBackend,
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
