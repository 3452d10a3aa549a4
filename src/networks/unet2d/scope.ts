import type { Graph, Value } from "../../graph/mod.ts";

/** A place in the tree of tensor names, "down_blocks.0.resnets.1", and the graph it is built in. */
export class Scope {
  constructor(readonly graph: Graph, readonly path = "") {}

  in(name: string | number): Scope {
    return new Scope(this.graph, this.path ? `${this.path}.${name}` : String(name));
  }

  param(name: string, shape: readonly number[]): Value {
    return this.graph.param(`${this.path}.${name}`, shape);
  }
}
