/** Graphs written as ONNX, each engine's way: what onnxruntime's backends and `.onnx` files need. */
export type { Emitter, Lowering, LowerOp, OnnxAttribute } from "./lowering.ts";
export { extendLowering } from "./lowering.ts";
export { portable } from "./lowerings/portable.ts";
export { fused } from "./lowerings/fused.ts";
export { winograd } from "./lowerings/winograd.ts";
export { MAX_THREADS as WASM_MAX_THREADS, wasm } from "./lowerings/wasm.ts";
export { emit, type EmitOptions } from "./emit.ts";
