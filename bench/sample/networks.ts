/** The networks that are measured. */
import cifar10 from "../../tests/configs/ddpm-cifar10-32.json" with { type: "json" };
import type { Tensors } from "../../src/backends/backend.ts";
import { Graph, sizeOf } from "../../src/graph/mod.ts";
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { filesAt } from "../../src/weights/files.ts";
import { readFolder } from "../../src/weights/read/folder.ts";
import {
  matchTensors,
  parseUNetConfig,
  type UNetConfig,
  unetGraph,
} from "../../src/networks/unet2d/mod.ts";

export interface MeasuredNetwork {
  readonly name: string;
  readonly config: UNetConfig;
  readonly parameters: number;
  readonly graph: Graph;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

export async function networkByName(name: string): Promise<MeasuredNetwork> {
  if (name === "digits") {
    const folder = await readFolder(filesAt(builtInWeights.digits));
    return networkOf(name, folder.config, (shapes) => {
      return matchTensors(shapes, folder.tensors, folder.where);
    });
  }
  if (name === "cifar10") {
    return networkOf("cifar10-32 (random weights)", parseUNetConfig(cifar10), randomWeights);
  }
  throw new Error(`expected digits or cifar10, found "${name}"`);
}

type Weights = Map<string, Float32Array>;
type Shapes = Map<string, readonly number[]>;

function networkOf(
  name: string,
  config: UNetConfig,
  weightsOf: (shapes: Shapes) => Weights,
): MeasuredNetwork {
  const graph = unetGraph(new Graph(), config);
  const shapes: Shapes = new Map(
    [...graph.params].map(([param, { shape }]) => [param, shape as readonly number[]]),
  );
  const weights = weightsOf(shapes);
  return {
    name,
    config,
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
export function feedsFor({ config }: MeasuredNetwork, n: number): Tensors {
  const shape = [n, config.in_channels, ...config.sample_size];
  const data = new Float32Array(shape.reduce((a, b) => a * b)).map((_, i) => Math.sin(i));
  return {
    sample: { data, dims: shape },
    timestep: { data: new Float32Array(n).fill(500), dims: [n] },
    ...(config.num_class_embeds !== null &&
      { class_labels: { data: new Int32Array(n), dims: [n] } }),
  };
}
