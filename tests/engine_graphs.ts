/** Whole graphs for the engine: what they give is compared with float64 loops. */
import { assert, assertEquals } from "@std/assert";
import { openSimdSession } from "../src/backends/simd/session.ts";
import type { Crew } from "../src/engine/engine_session.ts";
import { inlineCrew } from "../src/engine/inline_crew.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { conv2d, Graph, type Padding, type Value } from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { interpret } from "./graph_reference.ts";

export const module = new WebAssembly.Module(unshared(kernelBytes()));
export const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };
export const none = { stride: 1, padding: [0, 0, 0, 0] as Padding };
export const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Every output of a graph, in memory that is full of NaN before, against float64 loops. */
export async function check(make: (graph: Graph) => Record<string, Value>): Promise<void> {
  const graph = new Graph();
  for (const [name, value] of Object.entries(make(graph))) graph.output(name, value);
  const numbers = (values: ReadonlyMap<string, Value>, seed: number) =>
    new Map([...values].map(([name, { shape, type }], i) => {
      const dims = shape as number[];
      const data = type === "int32"
        ? Int32Array.from({ length: count(dims) }, (_, k) => k % 2)
        : ramp(count(dims), seed + i);
      return [name, { data, dims }];
    }));
  const fed = numbers(graph.inputs, 1), learned = numbers(graph.params, 50);
  const weights = new Map([...learned].map(([name, { data }]) => [name, data as Float32Array]));
  const inner = inlineCrew(module);
  let memory: WebAssembly.Memory;
  const crew: Crew = { ...inner, open: (opened) => inner.open(memory = opened) };
  const session = await openSimdSession(graph, weights, crew, { arenaBytes: 1 << 20 });
  new Float32Array(memory!.buffer).fill(NaN, session.engine.base / 4);
  const found = await session.run(Object.fromEntries(fed));
  await session.close();
  const given = Object.fromEntries([...fed, ...learned].map(([name, { data }]) => [name, data]));
  assertEquals(Object.keys(found), [...graph.outputs.keys()]);
  for (const [name, value] of graph.outputs) {
    const expected = interpret(graph, value, given);
    assertEquals(found[name].dims, expected.shape);
    const size = expected.data.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);
    expected.data.forEach((v, i) => {
      const difference = Math.abs(Number(found[name].data[i]) - v);
      assert(difference <= 1e-5 * size, `${name}[${i}] is ${found[name].data[i]}, expected ${v}`);
    });
  }
}

/** A layer of 16 pictures' channels to 8, and what else is at hand. */
export function layer(graph: Graph) {
  const x = graph.input("x", [2, 16, 5, 5]);
  const conv = (name: string) =>
    conv2d(x, graph.param(name, [8, 16, 3, 3]), graph.param(`${name}_b`, [8]), around);
  return { x, conv, other: graph.input("other", [2, 8, 5, 5]) };
}
