/** How many classes a graph knows, which its inputs do not say. */
import type * as pb from "npm:onnx-buf@1.20.0-1";

/** Operators that hand indices on as they are. */
const passing = new Set(["Cast", "Clip", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"]);

/** The rows of the table that an input's numbers pick from; undefined where there is none. */
export function classCount(
  { node, initializer }: pb.GraphProto,
  input: string,
): number | undefined {
  const tables = new Map(initializer.map(({ name, dims }) => [name, dims]));
  const indices = new Set([input]);
  for (const { opType, input: [first, second], output } of node) {
    if (passing.has(opType) && indices.has(first)) indices.add(output[0]);
    if (opType === "Gather" && indices.has(second)) {
      const rows = tables.get(first)?.[0];
      if (rows !== undefined) return Number(rows);
    }
  }
}
