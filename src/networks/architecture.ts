/**
 * The seam between networks and everything that loads, runs, trains and describes them. An architecture
 * is a folder beside this file and a line in `registry.ts`; nothing else names one.
 */
import { Graph, type Value, vjp } from "../graph/mod.ts";
import type { Field } from "../schema.ts";

/** The version of diffusers whose config keys are written. */
export const DIFFUSERS_VERSION = "0.30.0";

/** What a network is asked about, as values of a graph. */
export interface NetworkInputs {
  /** x_t, [N, C, H, W]. */
  readonly sample: Value;
  /** t, [N] float32, possibly fractional. */
  readonly timestep: Value;
  /** [N] int32; there exactly when the network has classes, and classWeights is not. */
  readonly classLabels?: Value;
  /** [N, classes]: how much of each class's row the embedding is. */
  readonly classWeights?: Value;
}

/** A network without its numbers: an architecture with a config that it has checked. */
export interface NetworkDefinition {
  /** Which kind of network it is. */
  readonly architecture: Architecture;
  /** [C, H, W] of one picture. */
  readonly shape: readonly [number, number, number];
  /** C, or 2C when the network also learned its variance. */
  readonly outChannels: number;
  /** How many class indices it takes; null for an unconditional network. */
  readonly classes: number | null;
  /** The dropout rate of its config, for training. */
  readonly dropout: number;
  /** What it is built of, in order, for people. */
  readonly blocks: readonly string[];
  /** config.json as diffusers writes it; {@link Architecture.parse} reads it back. */
  json(): Record<string, unknown>;
  /**
   * The network's output at t: [N, outChannels, H, W]. Parameters are made in the graph under
   * diffusers' names.
   * @param dropout applied where the network drops units; the identity unless it is trained
   */
  build(graph: Graph, inputs: NetworkInputs, dropout?: (x: Value) => Value): Value;
}

/** A kind of network, by the name of diffusers' class. */
export interface Architecture {
  /** `_class_name` in config.json. */
  readonly className: string;
  /** Other names that files have for it. */
  readonly oldClassNames?: readonly string[];
  /** The folder of a diffusers pipeline that its config and tensors lie in, and its key in model_index.json. */
  readonly folder: string;
  /**
   * Reads a config.json. Keys that are missing take the class' defaults, as in diffusers.
   * @throws InputError naming the first key whose value this architecture does not have
   */
  parse(json: unknown, where: string): NetworkDefinition;
  /** Today's name of a tensor in a file, or undefined for one that only repeats another; default itself. */
  currentName?(name: string): string | undefined;
  /** The parameter whose rows are the classes', [classes, …]. */
  readonly classTable?: string;
  /** How a parameter starts where it is not by its shape (see `training/optimiser/init.ts`). */
  initialiser?(name: string): "zeros" | "normal" | undefined;
  /** What a training run may choose of it. */
  readonly training: TrainingKeys;
}

/** Keys of a training recipe, by name. */
export type NetworkKeys = Readonly<Record<string, unknown>>;

/** A key of a training recipe: its type, its default (none: it has to be given), and what it does. */
export interface TrainingField<T = unknown> extends Field<T> {
  /** What it does, for help and messages. */
  readonly help: string;
}

/** How an architecture follows from a training recipe, and back. */
export interface TrainingKeys {
  /** The keys that it adds to a recipe. */
  readonly fields: Readonly<Record<string, TrainingField>>;
  /** What no single key can tell. @throws FieldError naming the key */
  check?(keys: NetworkKeys): void;
  /**
   * config.json for pictures of a shape.
   * @param classes how many class indices it is to take; null for none
   */
  json(
    keys: NetworkKeys,
    shape: readonly [number, number, number],
    classes: number | null,
  ): Record<string, unknown>;
  /** The keys that a network stands for, which fine-tuning keeps. */
  keys(network: NetworkDefinition): NetworkKeys;
}

/** A graph of the network alone: inputs sample, timestep (and class_labels), output out_sample. */
export function networkGraph(network: NetworkDefinition, batch: number | "N" = "N"): Graph {
  const graph = new Graph();
  const inputs = networkInputs(graph, network, batch);
  graph.output("out_sample", network.build(graph, inputs));
  return graph;
}

/**
 * A graph of the network's gradient: the inputs of {@link networkGraph} and u [N, outChannels, H, W],
 * output gradient [N, C, H, W], which is (∂output/∂sample)ᵀ u.
 */
export function networkVjpGraph(network: NetworkDefinition, batch: number | "N" = "N"): Graph {
  const graph = new Graph();
  const inputs = networkInputs(graph, network, batch);
  const output = network.build(graph, inputs);
  const [gradient] = vjp(output, graph.input("u", output.shape), [inputs.sample]);
  graph.output("gradient", gradient);
  return graph;
}

/**
 * The inputs of a network, made in a graph; x_t may be computed there instead of fed.
 * @param shared whether classes are given as shares of the table's rows
 */
export function networkInputs(
  graph: Graph,
  { shape, classes }: NetworkDefinition,
  batch: number | "N",
  sample: Value = graph.input("sample", [batch, ...shape]),
  shared = false,
): NetworkInputs {
  const timestep = graph.input("timestep", [batch]);
  if (classes === null) return { sample, timestep };
  return shared
    ? { sample, timestep, classWeights: graph.input("class_weights", [batch, classes]) }
    : { sample, timestep, classLabels: graph.input("class_labels", [batch], "int32") };
}
