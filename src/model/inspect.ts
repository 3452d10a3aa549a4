/** Describes a folder of weights without running it. */
import { UnsupportedGraph } from "../engine/plan/planner.ts";
import { arenaBytes } from "../engine/plan/memory.ts";
import { graphCost } from "../graph/cost.ts";
import { type Graph, paramShapes } from "../graph/mod.ts";
import { classNames, type WeightsCard } from "../weights/read/card.ts";
import type { WeightsFolder } from "../weights/read/folder.ts";
import { networkOf } from "./model.ts";

export interface BlockReport {
  readonly name: string;
  readonly tensors: number;
  readonly parameters: number;
}

export interface WeightsReport {
  readonly source: string;
  readonly hash: string;
  /** [C, H, W]. */
  readonly picture: readonly number[];
  readonly classes: readonly string[] | null;
  readonly null_label: number | null;
  /** How the weights' makers say they are sampled. */
  readonly recommended: WeightsCard["recommended"] | null;
  readonly tensors: number;
  readonly parameters: number;
  /** What the network is built of, in order. */
  readonly layers: readonly string[];
  /** Its tensors, by the first parts of their names. */
  readonly blocks: readonly BlockReport[];
  readonly multiply_adds: number;
  /** Bytes of the weights and of the most intermediate results, a picture at a time. */
  readonly memory: { readonly weights: number; readonly activations: number };
  /** config.json of the network. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly scheduler: WeightsFolder["scheduler"];
}

/** Checks that the tensors are the config's and describes them. @throws InputError where not. */
export function inspectWeights(folder: WeightsFolder): WeightsReport {
  const { where, hash, network, scheduler, card } = folder;
  const { graph } = networkOf(folder);
  const shapes = paramShapes(graph);
  const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const byBlock = Map.groupBy(shapes, ([name]) => blockOf(name));
  const blocks = [...byBlock].map(([name, entries]) => ({
    name,
    tensors: entries.length,
    parameters: entries.reduce((n, [, shape]) => n + sizeOf(shape), 0),
  }));
  const parameters = blocks.reduce((n, block) => n + block.parameters, 0);
  const { multiplyAdds } = graphCost(graph, 1);
  return {
    source: where,
    hash,
    picture: network.shape,
    classes: classNames(card, network.classes) ?? null,
    null_label: card.null_label ?? null,
    recommended: card.recommended ?? null,
    tensors: shapes.size,
    parameters,
    layers: network.blocks,
    blocks,
    multiply_adds: multiplyAdds,
    memory: { weights: 4 * parameters, activations: activationBytes(graph) },
    config: network.json(),
    scheduler,
  };
}

/** The arena that the planner lays out for one picture; for graphs it cannot plan, what is alive at once. */
function activationBytes(graph: Graph): number {
  try {
    return arenaBytes(graph);
  } catch (error) {
    if (!(error instanceof UnsupportedGraph)) throw error;
    return graphCost(graph, 1).peakBytes;
  }
}

function blockOf(name: string): string {
  const parts = name.split(".");
  return /^\d+$/.test(parts[1]) ? `${parts[0]}.${parts[1]}` : parts[0];
}
