/** A network in the middle of its training, asked as any other is. */
import type { Backend, Session, SessionOptions } from "../../backends/backend.ts";
import type { Network } from "../../model/network.ts";
import { Graph } from "../../graph/mod.ts";
import { networkInputs } from "../../networks/architecture.ts";
import { classNames } from "../../weights/read/card.ts";
import { sharesOf } from "../objective/label_parts.ts";
import type { Start } from "./start.ts";

/** Answers with the weights as they are when it is asked. Its session is opened by the first question. */
export class NetworkInTraining implements Network, AsyncDisposable {
  readonly shape: Network["shape"];
  readonly outChannels: number;
  readonly scheduler: Network["scheduler"];
  readonly labels?: readonly string[];
  readonly nullLabel?: number;
  #session?: Promise<Session>;

  constructor(
    readonly start: Start,
    /** The parameters as they are now, in the start's layout. */
    readonly theta: () => Float32Array,
    readonly backend: Backend,
    readonly options?: SessionOptions,
  ) {
    const { network, scheduler, card } = start;
    this.shape = network.shape;
    this.outChannels = network.outChannels;
    this.scheduler = scheduler;
    this.labels = classNames(card, network.classes);
    this.nullLabel = card.null_label;
  }

  async predict(x: Float32Array, t: Float32Array, labels?: Int32Array): Promise<Float32Array> {
    const { network: { classes }, parts } = this.start;
    const theta = this.theta();
    const session = await (this.#session ??= this.#open());
    const { out_sample } = await session.run({
      sample: { data: x, dims: [t.length, ...this.shape] },
      timestep: { data: t, dims: [t.length] },
      theta: { data: theta, dims: [theta.length] },
      ...(labels &&
        (parts
          ? { class_weights: { data: sharesOf(parts, labels), dims: [t.length, classes!] } }
          : { class_labels: { data: labels, dims: [t.length] } })),
    });
    return out_sample.data as Float32Array;
  }

  /** The network with its parameters fed as one vector, as the update has them. */
  #open(): Promise<Session> {
    const { network, layout, parts } = this.start;
    const graph = new Graph();
    const inputs = networkInputs(graph, network, "N", undefined, parts !== undefined);
    graph.output("out_sample", network.build(graph, inputs));
    const input = graph.input("theta", [layout.size]);
    const order = layout.params.map(({ name }) => name);
    return this.backend.createSession(graph, { input, order }, this.options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#session?.catch(() => undefined))?.close();
  }
}
