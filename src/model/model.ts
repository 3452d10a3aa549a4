/** A network on an engine: what `load` gives. */
import type { Backend, Session, SessionOptions } from "../backends/backend.ts";
import type { SchedulerConfig } from "../diffusion/types.ts";
import { paramShapes } from "../graph/mod.ts";
import type { Network, Recommendation } from "./network.ts";
import { networkGraph } from "../networks/architecture.ts";
import { matchTensors } from "../networks/match_tensors.ts";
import { classNames, type Distilled } from "../weights/read/card.ts";
import { checkFeeds } from "./check_predict.ts";
import type { WeightsFolder } from "../weights/read/folder.ts";

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
export function networkOf(folder: WeightsFolder) {
  const { network, tensors, where } = folder;
  const graph = networkGraph(network);
  const { currentName } = network.architecture;
  return { graph, weights: matchTensors(paramShapes(graph), tensors, where, currentName) };
}

/** Puts a folder's network on an engine. */
export async function openModel(
  folder: WeightsFolder,
  backend: Backend,
  options?: SessionOptions,
): Promise<Model> {
  const { graph, weights } = networkOf(folder);
  const session = await backend.createSession(graph, weights, options);
  return new SessionModel(folder, backend.name, session);
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

  constructor(
    folder: WeightsFolder,
    readonly backend: string,
    readonly session: Session,
  ) {
    const { network, card } = folder;
    this.config = network.json();
    this.hash = folder.hash;
    this.source = folder.where;
    this.shape = network.shape;
    this.outChannels = network.outChannels;
    this.scheduler = folder.scheduler;
    this.labels = classNames(card, network.classes);
    this.#classes = network.classes;
    this.nullLabel = card.null_label;
    this.recommended = card.recommended;
    this.distilled = card.distilled;
  }

  async predict(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Float32Array> {
    checkFeeds(x, t, labels, { shape: this.shape, classes: this.#classes });
    const n = t.length;
    const { out_sample } = await this.session.run({
      sample: { data: x, dims: [n, ...this.shape] },
      timestep: { data: t, dims: [n] },
      ...(labels && { class_labels: { data: labels, dims: [n] } }),
    });
    return out_sample.data as Float32Array;
  }

  close(): Promise<void> {
    return this.session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
