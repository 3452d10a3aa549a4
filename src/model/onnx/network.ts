/** A bare ONNX graph on an engine. */
import {
  type Backend,
  type Session,
  type SessionOptions,
  takesOnnx,
} from "../../backends/backend.ts";
import { parseSchedulerConfig } from "../../diffusion/mod.ts";
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import type { Recommendation } from "../network.ts";
import { classNames, type Distilled } from "../../weights/read/card.ts";
import { checkPredictArguments } from "../check_predict.ts";
import type { Model } from "../model.ts";
import type { OnnxFile } from "../../weights/read/onnx/file.ts";
import { GraphRuns } from "./runs.ts";

/**
 * Puts an ONNX file's graph on an engine and tries it on one picture, so that what cannot run is
 * refused here.
 * @throws InputError with the engine's reason, or what the graph gave instead of a prediction.
 */
export async function openOnnx(
  file: OnnxFile,
  backend: Backend,
  options?: SessionOptions,
): Promise<Model> {
  const refuse = (error: Error): never => {
    throw new InputError(`${file.where}: ${error.message.replace(/\s+/g, " ")}`, { cause: error });
  };
  if (!takesOnnx(backend)) {
    throw new InputError(
      `${file.where}: ONNX files run on wasm, webgpu and native, not on ${backend.name}`,
    );
  }
  const session = await backend.createOnnxSession(file.onnx, options).catch(refuse);
  try {
    const outChannels = await tryOut(file, session).catch(refuse);
    return new OnnxModel(file, backend.name, session, outChannels);
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** Evaluates some picture. @returns the channels of the output */
async function tryOut(file: OnnxFile, session: Session): Promise<number> {
  const size = file.shape.reduce((a, b) => a * b);
  const x = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
  const labels = file.classes === null ? undefined : new Int32Array(1);
  const runs = new GraphRuns(file, session);
  const { data, channels } = await runs.evaluate(x, Float32Array.of(1), labels);
  if (!data.every(Number.isFinite)) {
    throw new Error("expected numbers in its output, found some that are not finite");
  }
  return channels;
}

class OnnxModel implements Model {
  readonly hash: string;
  readonly source: string;
  readonly shape: readonly [number, number, number];
  readonly scheduler: SchedulerConfig;
  readonly labels?: readonly string[];
  readonly nullLabel?: number;
  readonly recommended?: Recommendation;
  readonly distilled?: Distilled;
  readonly #runs: GraphRuns;

  constructor(
    readonly file: OnnxFile,
    readonly backend: string,
    readonly session: Session,
    readonly outChannels: number,
  ) {
    const { hash, where, shape, scheduler, card, classes } = file;
    this.hash = hash;
    this.source = where;
    this.shape = shape;
    const variance_type = outChannels === shape[0] ? "fixed_small" : "learned_range";
    this.scheduler = scheduler ?? parseSchedulerConfig({ variance_type });
    this.labels = classNames(card, classes);
    this.nullLabel = card.null_label;
    this.recommended = card.recommended;
    this.distilled = card.distilled;
    this.#runs = new GraphRuns(file, session);
  }

  async predict(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Float32Array> {
    checkPredictArguments(x, t, labels, this.file);
    const { data } = await this.#runs.evaluate(x, t, labels);
    return data;
  }

  close(): Promise<void> {
    return this.session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
