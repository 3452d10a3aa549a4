/** Makes a Backend of an onnxruntime build: graphs are written as ONNX by its lowering. */
import { emit, type Lowering } from "../../onnx/mod.ts";
import type { OnnxBackend } from "../backend.ts";

/** A build of onnxruntime, and how it likes operations written, by measurement. */
export interface OrtBackend extends OnnxBackend {
  /** For graphs whose weights are constants, as in sampling. */
  readonly lowering: Lowering;
  /** The same for graphs whose weights are computed, as in training; the default is `lowering`. */
  readonly trainingLowering?: Lowering;
}

/** A Backend whose sessions are made of graphs written by its lowering. */
export function ortBackend<Engine extends Omit<OrtBackend, "createSession">>(
  engine: Engine,
): Engine & OrtBackend {
  const { lowering, trainingLowering = lowering } = engine;
  return {
    ...engine,
    createSession(graph, weights, options) {
      const model = weights && "order" in weights
        ? emit(graph, { lowering: trainingLowering, flatParams: weights })
        : emit(graph, { lowering, weights });
      return engine.createOnnxSession(model, options);
    },
  };
}
