/** Bare ONNX files: read and checked, then put on an engine. */
export { type OnnxFile, readOnnx } from "../../weights/read/onnx/file.ts";
export { openOnnx } from "./network.ts";
