/** Graphs of tensor operations: built, differentiated, written as ONNX. */
export * from "./value.ts";
export * from "./graph.ts";
export * from "./ops/dropout.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/linear.ts";
export * from "./ops/nn.ts";
export * from "./ops/shape.ts";
export { gradients } from "./gradients.ts";
export * from "./lowering.ts";
export { portable } from "./lowerings/portable.ts";
export { fused } from "./lowerings/fused.ts";
export { winograd } from "./lowerings/winograd.ts";
export { MAX_THREADS as WASM_MAX_THREADS, wasm } from "./lowerings/wasm.ts";
export { emit, type EmitOptions } from "./emit.ts";
