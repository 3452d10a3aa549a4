/** Finds out how many channels make a block on this processor. */
import { emit } from "../../emit.ts";
import { Graph } from "../../../graph/graph.ts";
import type { Lowering } from "../../lowering.ts";
import { blockedOp } from "./layout.ts";

/** A multiple of every block size there is. */
const CHANNELS = 16;
const PIXELS = 2;

export interface BlockProbe {
  /** A model of one input "x" and one output "y". */
  readonly model: Uint8Array;
  readonly x: { readonly data: Float32Array; readonly dims: readonly number[] };
  /** Channels in a block, from y's numbers; undefined where blocks of that size are not known. */
  blockOf(y: Float32Array): number | undefined;
}

/** A tensor of two pixels is brought into blocks: the second pixel begins after the first block. */
export function blockProbe(): BlockProbe {
  const dims = [1, CHANNELS, 1, PIXELS];
  const graph = new Graph();
  graph.output("y", graph.add("reorder", [graph.input("x", dims)], dims));
  const lowering: Lowering = {
    name: "probe",
    ops: { reorder: (e, _, [x]) => blockedOp(e, "ReorderInput", [x]) },
  };
  return {
    model: emit(graph, { lowering }),
    x: { data: Float32Array.from({ length: CHANNELS * PIXELS }, (_, i) => i), dims },
    blockOf: (y) => {
      const block = y.indexOf(1);
      return block === 8 || block === 16 ? block : undefined;
    },
  };
}
