/** The networks that are measured. */
import cifar10 from "../../tests/configs/ddpm-cifar10-32.json" with { type: "json" };
import type { Tensors } from "../../src/backends/backend.ts";
import { type Graph, paramShapes, sizeOf } from "../../src/graph/mod.ts";
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { filesAt } from "../../src/weights/files.ts";
import { readFolder } from "../../src/weights/read/folder.ts";
import { type NetworkDefinition, networkGraph } from "../../src/networks/architecture.ts";
import { matchTensors } from "../../src/networks/match_tensors.ts";
import { parseNetwork } from "../../src/networks/registry.ts";

export interface MeasuredNetwork {
  readonly name: string;
  readonly network: NetworkDefinition;
  readonly parameters: number;
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

export async function networkByName(name: string): Promise<MeasuredNetwork> {
  if (name === "digits") {
    const folder = await readFolder(filesAt(builtInWeights.digits));
    return networkOf(name, folder.network, (shapes) => {
      const { currentName } = folder.network.architecture;
      return matchTensors(shapes, folder.tensors, folder.where, currentName);
    });
  }
  if (name === "cifar10") {
    return networkOf("cifar10-32 (random weights)", parseNetwork(cifar10, name), randomWeights);
  }
  throw new Error(`expected digits or cifar10, found "${name}"`);
}

type Weights = Map<string, Float32Array>;
type Shapes = Map<string, readonly number[]>;

function networkOf(
  name: string,
  network: NetworkDefinition,
  weightsOf: (shapes: Shapes) => Weights,
): MeasuredNetwork {
  const graph = networkGraph(network);
  const shapes: Shapes = paramShapes(graph);
  const weights = weightsOf(shapes);
  return {
    name,
    network,
    parameters: [...shapes.values()].reduce((n, shape) => n + sizeOf(shape), 0),
    graph,
    weights,
  };
}

/** Small uniform numbers from a generator with a fixed seed. */
function randomWeights(shapes: Shapes): Weights {
  let state = 1;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 31 - 1;
  return new Map(
    [...shapes].map(([name, shape]) => {
      const reach = 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1));
      return [name, Float32Array.from({ length: sizeOf(shape) }, () => next() * reach)];
    }),
  );
}

/** Feeds for n pictures of a network. */
export function feedsFor({ network }: MeasuredNetwork, n: number): Tensors {
  const shape = [n, ...network.shape];
  const data = new Float32Array(shape.reduce((a, b) => a * b)).map((_, i) => Math.sin(i));
  return {
    sample: { data, dims: shape },
    timestep: { data: new Float32Array(n).fill(500), dims: [n] },
    ...(network.classes !== null &&
      { class_labels: { data: new Int32Array(n), dims: [n] } }),
  };
}
