/** Graphs of tensor operations: built and differentiated. */
export * from "./value.ts";
export * from "./graph.ts";
export * from "./ops/dropout.ts";
export * from "./ops/elementwise.ts";
export * from "./ops/linear.ts";
export * from "./ops/nn.ts";
export * from "./ops/shape.ts";
export { gradients, vjp } from "./gradients.ts";
