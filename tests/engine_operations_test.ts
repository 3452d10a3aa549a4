/** The engine's kernels, both builds, against float64 loops, for every operation of inference. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { openSimdSession } from "../src/backends/simd/session.ts";
import type { Crew } from "../src/engine/engine_session.ts";
import { inlineCrew } from "../src/engine/inline_crew.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { exp, gather, Graph, groupNorm, matmul, sigmoid, softmax } from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { cases } from "./engine_cases.ts";
import { interpret } from "./graph_reference.ts";

const moduleOf = (build: "relaxed" | "plain") =>
  new WebAssembly.Module(unshared(kernelBytes(build)));
const backends = [
  { build: "relaxed", backend: simdInline({ module: moduleOf("relaxed") }) },
  { build: "plain", backend: simdInline({ module: moduleOf("plain") }) },
  { build: "compact", backend: simdInline({ module: moduleOf("relaxed"), compact: true }) },
  { build: "in memory full of NaN", backend: poisoned() },
];

/** Before a session's first run, what is no weight holds NaN: nothing may rely on zeros there. */
function poisoned(): Backend {
  const inner = inlineCrew(moduleOf("relaxed"));
  let last: WebAssembly.Memory;
  const crew: Crew = { ...inner, open: (memory) => inner.open(last = memory) };
  return {
    name: "poisoned",
    async createSession(graph, weights) {
      const session = await openSimdSession(graph, weights, crew, { arenaBytes: 1 << 20 });
      new Float32Array(last.buffer).fill(NaN, session.engine.base / 4);
      return session;
    },
  };
}

for (const { build, backend } of backends) {
  for (const { about, inputs = [], params = [], build: make, positive } of cases) {
    Deno.test(`engine, ${build}: ${about}`, async () => {
      const graph = new Graph();
      const numbers = (shape: readonly number[], seed: number) => {
        const data = ramp(shape.reduce((a, b) => a * b, 1), seed);
        return positive ? data.map((x) => 1.5 + x) : data;
      };
      const fed = inputs.map((dims, i) => ({ data: numbers(dims, i + 1), dims }));
      const weights = new Map(params.map((dims, i) => [`p${i}`, numbers(dims, i + 50)]));
      const y = make(
        inputs.map((shape, i) => graph.input(`x${i}`, shape)),
        params.map((shape, i) => graph.param(`p${i}`, shape)),
      );
      graph.output("y", y);
      const session = await backend.createSession(graph, weights);
      const feeds = Object.fromEntries(fed.map((tensor, i) => [`x${i}`, tensor]));
      const found = (await session.run(feeds)).y;
      await session.close();
      const expected = interpret(graph, y, {
        ...Object.fromEntries(fed.map(({ data }, i) => [`x${i}`, data])),
        ...Object.fromEntries(weights),
      });
      assertEquals(found.dims, expected.shape);
      const size = expected.data.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);
      expected.data.forEach((v, i) => {
        const difference = Math.abs(Number(found.data[i]) - v);
        assert(difference <= 1e-5 * size, `[${i}] is ${found.data[i]}, expected ${v}`);
      });
    });
  }

  Deno.test(`engine, ${build}: exp to 1e-7 of itself, sigmoid to 1e-7, from end to end`, async () => {
    const graph = new Graph();
    const x = graph.input("x", ["N"]);
    graph.output("exp", exp(x));
    graph.output("sigmoid", sigmoid(x));
    const session = await backend.createSession(graph);
    const data = Float32Array.from({ length: 40001 }, (_, i) => (i - 20000) * 87 / 20000);
    const results = await session.run({ x: { data, dims: [data.length] } });
    data.forEach((x, i) => {
      const e = Math.exp(x), s = 1 / (1 + Math.exp(-x));
      const error = Math.abs(Number(results.exp.data[i]) / e - 1);
      assert(error <= 1e-7, `exp(${x}) is off by ${error}`);
      assert(Math.abs(Number(results.sigmoid.data[i]) - s) <= 1e-7, `sigmoid(${x})`);
    });
    const ends = Float32Array.of(-200, 200, -Infinity, Infinity, NaN, 0);
    const there = await session.run({ x: { data: ends, dims: [6] } });
    assertEquals([...there.exp.data], [0, Infinity, 0, Infinity, NaN, 1]);
    await session.close();
  });

  Deno.test(`engine, ${build}: group norm at a mean of 300 σ is right to 1e-5`, async () => {
    const [n, channels, side, groups] = [2, 16, 12, 4];
    const graph = new Graph();
    const x = graph.input("x", [n, channels, side, side]);
    const [w, b] = ["w", "b"].map((name) => graph.param(name, [channels]));
    const y = groupNorm(x, w, b, { groups, eps: 1e-12 });
    graph.output("y", y);
    const weights = new Map([
      ["w", new Float32Array(channels).fill(1)],
      ["b", new Float32Array(channels)],
    ]);
    const session = await backend.createSession(graph, weights);
    const sigma = Math.sqrt(1 / 3);
    const data = ramp(n * channels * side * side).map((v) => 300 * sigma + v);
    // A corner that is far off must not spoil the rest.
    data[0] = -300;
    const found = (await session.run({ x: { data, dims: [n, channels, side, side] } })).y.data;
    await session.close();
    const expected = interpret(graph, y, { x: data, ...Object.fromEntries(weights) }).data;
    const size = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    const second = expected.length / 2;
    const worst = expected.reduce(
      (most, v, i) => i < second ? most : Math.max(most, Math.abs(v - Number(found[i]))),
      0,
    );
    assert(worst <= 1e-5, `off by ${worst}`);
    const all = expected.reduce((most, v, i) => Math.max(most, Math.abs(v - Number(found[i]))), 0);
    assert(all <= 1e-5 * size, `off by ${all} of ${size}`);
  });
}

Deno.test("engine: an index outside its table is refused, not read", async () => {
  const [{ backend }] = backends;
  const graph = new Graph();
  const table = graph.constant(new Float32Array([1, 2, 3]), [3, 1]);
  graph.output("y", gather(table, graph.input("i", ["N"], "int32")));
  const session = await backend.createSession(graph);
  for (const index of [-1, 3]) {
    const i = { data: Int32Array.of(0, index), dims: [2] };
    await assertRejects(
      () => session.run({ i }),
      Error,
      `input "i" has the index ${index}, the table has 3 rows`,
    );
  }
  await session.close();
});

Deno.test("engine: what lies within an attention may be an output, too", async () => {
  const [{ backend }] = backends;
  const graph = new Graph();
  const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [1, 4, 8]));
  const probabilities = softmax(matmul(q, k, { transposeB: true }));
  const y = matmul(probabilities, v);
  graph.output("probabilities", probabilities);
  graph.output("y", y);
  const data = { q: ramp(32), k: ramp(32).reverse(), v: ramp(32) };
  const feeds = Object.entries(data).map(([name, data]) => [name, { data, dims: [1, 4, 8] }]);
  const session = await backend.createSession(graph);
  const found = await session.run(Object.fromEntries(feeds));
  await session.close();
  for (const [name, value] of Object.entries({ probabilities, y })) {
    const expected = interpret(graph, value, data).data;
    assertEquals(found[name].data.length, expected.length);
    const worst = expected.reduce(
      (most, v, i) => Math.max(most, Math.abs(v - Number(found[name].data[i]))),
      0,
    );
    assert(worst <= 1e-5, `${name} is off by ${worst}`);
  }
});
