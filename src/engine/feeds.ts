/** What a run is fed, against what the graph expects. */
import type { Graph, Value } from "../graph/mod.ts";

/** A dense row-major tensor, as `backend.ts` has it. */
export interface Fed {
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  readonly dims: readonly number[];
}

const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/**
 * The named dimensions of a graph as the feeds have them.
 * @throws Error for a shape or type that is not the input's
 */
export function sizesOf(graph: Graph, feeds: Readonly<Record<string, Fed>>): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const [name, value] of graph.inputs) {
    const { data, dims } = feeds[name];
    const wrong = (found: string) =>
      new Error(
        `input "${name}" is ${found}, expected ${value.type} of shape [${value.shape.join(", ")}]`,
      );
    if (!(data instanceof arrays[value.type])) throw wrong(data.constructor.name);
    if (dims.length !== value.shape.length) throw wrong(`of shape [${dims.join(", ")}]`);
    value.shape.forEach((dim, i) => {
      const expected = typeof dim === "number" ? dim : sizes.get(dim);
      if (expected === undefined) sizes.set(dim as string, dims[i]);
      else if (expected !== dims[i]) throw wrong(`of shape [${dims.join(", ")}]`);
    });
  }
  return sizes;
}

/**
 * The name of the dimension along which a graph treats pictures one by one, so that a batch can be
 * computed in parts; undefined where there is none.
 */
export function batchDimension(graph: Graph): string | undefined {
  const [name, ...others] = new Set(
    graph.values.flatMap(({ shape }) => shape.filter((d): d is string => typeof d === "string")),
  );
  if (name === undefined || others.length > 0) return undefined;
  const first = ({ shape }: Value) => shape[0] === name && shape.lastIndexOf(name) === 0;
  const ends = [...graph.inputs.values(), ...graph.outputs.values()];
  if (!ends.every(first)) return undefined;
  const apart = graph.values.every((value) => {
    if (!value.shape.includes(name)) return !value.node.inputs.some((x) => x.shape.includes(name));
    return first(value);
  });
  return apart ? name : undefined;
}
