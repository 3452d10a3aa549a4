/** A network on an engine: what `load` gives. */
import type {
  Backend,
  Session,
  SessionOptions,
  StreamingBackend,
  Tensors,
} from "../backends/backend.ts";
import type { SchedulerConfig } from "../diffusion/scheduler.ts";
import { paramShapes } from "../graph/mod.ts";
import type { Network, Recommendation } from "./network.ts";
import { networkGraph, networkVjpGraph } from "../networks/architecture.ts";
import { matchTensors } from "../networks/match_tensors.ts";
import { classNames, type Distilled } from "../weights/read/card.ts";
import { InputError } from "../errors.ts";
import { checkPredictArguments } from "./check_predict.ts";
import type { WeightsFolder } from "../weights/read/folder.ts";
import type { StreamedFolder } from "../weights/read/streamed.ts";

/** A loaded network. Close it, or declare it with `await using`. */
export interface Model extends Network, AsyncDisposable {
  /** The network's config.json, in diffusers' keys; undefined for a bare ONNX graph. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** SHA-256 of everything in the weights that a picture depends on. */
  readonly hash: string;
  /** Where the weights came from. */
  readonly source: string;
  /** The name of the engine that runs it. */
  readonly backend: string;
  /** Frees the engine's memory. */
  close(): Promise<void>;
}

/** The network of a folder: its graph, and the numbers of every parameter. */
export function networkOf(folder: WeightsFolder, graphOf = networkGraph) {
  const { network, tensors, where } = folder;
  const graph = graphOf(network);
  const { currentName } = network.architecture;
  return { graph, weights: matchTensors(paramShapes(graph), tensors, where, currentName) };
}

/**
 * Puts a folder's network on an engine.
 * @param again gives the folder once more, for gradients, so that its tensors need not be kept
 */
export async function openModel(
  folder: WeightsFolder,
  backend: Backend,
  options?: SessionOptions,
  again: () => Promise<WeightsFolder> = () => Promise.resolve(folder),
): Promise<Model> {
  const { graph, weights } = networkOf(folder);
  const session = await backend.createSession(graph, weights, options);
  const gradients = gradientsOf(again, folder.hash, backend, options);
  return new SessionModel(folder, backend.name, session, gradients);
}

/** Written apart: a function that stays keeps whatever is within its reach, which must not be the tensors. */
function gradientsOf(
  again: () => Promise<WeightsFolder>,
  hash: string,
  backend: Backend,
  options?: SessionOptions,
) {
  return async () => {
    const read = await again();
    if (read.hash !== hash) throw new Error("the weights have changed since they were read");
    const { graph, weights } = networkOf(read, networkVjpGraph);
    return await backend.createSession(graph, weights, options);
  };
}

/** Puts a folder's network on an engine while its weights are being read. They give no gradients. */
export async function openStreamed(
  folder: StreamedFolder,
  backend: StreamingBackend,
): Promise<Model> {
  const session = await backend.createStreamedSession(folder.graph, folder.weights);
  const gradientSession = () => Promise.reject(new Error("its weights were read once"));
  return new SessionModel(
    { ...folder, hash: await folder.hash() },
    backend.name,
    session,
    gradientSession,
  );
}

class SessionModel implements Model {
  readonly config: Readonly<Record<string, unknown>>;
  readonly hash: string;
  readonly source: string;
  readonly shape: readonly [number, number, number];
  readonly outChannels: number;
  readonly scheduler: SchedulerConfig;
  readonly labels?: readonly string[];
  readonly nullLabel?: number;
  readonly recommended?: Recommendation;
  readonly distilled?: Distilled;
  readonly #classes: number | null;
  /** Opened when a gradient is asked for. */
  #gradient?: Promise<Session>;

  constructor(
    { network, card, hash, where, scheduler }: Omit<WeightsFolder, "tensors">,
    readonly backend: string,
    readonly session: Session,
    readonly gradientSession: () => Promise<Session>,
  ) {
    this.config = network.json();
    this.hash = hash;
    this.source = where;
    this.shape = network.shape;
    this.outChannels = network.outChannels;
    this.scheduler = scheduler;
    this.#classes = network.classes;
    this.labels = classNames(card, network.classes);
    this.nullLabel = card.null_label;
    this.recommended = card.recommended;
    this.distilled = card.distilled;
  }

  async predict(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Float32Array> {
    const { out_sample } = await this.session.run(this.#feeds(x, t, labels));
    return out_sample.data as Float32Array;
  }

  async vjp(
    x: Float32Array,
    t: Float32Array,
    u: Float32Array,
    labels?: Int32Array,
  ): Promise<Float32Array> {
    const feeds = this.#feeds(x, t, labels);
    const [, height, width] = this.shape;
    const dims = [t.length, this.outChannels, height, width];
    if (u.length !== dims.reduce((a, b) => a * b)) {
      throw new InputError(`vjp: u has ${u.length} elements; expected [${dims}]`);
    }
    const session = await (this.#gradient ??= this.gradientSession().catch((cause) => {
      throw new InputError(
        `${this.source}: gradients of the network do not run on ${this.backend} (${
          (cause as Error).message
        }); native and wasm have them`,
        { cause },
      );
    }));
    const { gradient } = await session.run({ ...feeds, u: { data: u, dims } });
    return gradient.data as Float32Array;
  }

  #feeds(x: Float32Array, t: Float32Array, labels?: Int32Array): Tensors {
    checkPredictArguments(x, t, labels, { shape: this.shape, classes: this.#classes });
    const n = t.length;
    return {
      sample: { data: x, dims: [n, ...this.shape] },
      timestep: { data: t, dims: [n] },
      ...(labels && { class_labels: { data: labels, dims: [n] } }),
    };
  }

  async close(): Promise<void> {
    const gradient = await this.#gradient?.catch(() => undefined);
    await Promise.all([this.session.close(), gradient?.close()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
