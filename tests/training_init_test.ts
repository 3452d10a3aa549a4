import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { initialTheta } from "../src/training/optimiser/init.ts";
import {
  initialState,
  layoutOf,
  packParams,
  unpackParams,
} from "../src/training/optimiser/layout.ts";
import { networkLayout } from "../src/training/objective/step.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { readGoldenJson } from "./golden.ts";

const network = parseNetwork(await readGoldenJson("class_conditional/unet/config.json"));
const layout = networkLayout(network);
const initial = (seed: number) => initialTheta(layout, seed, network.architecture.initialiser);
const tensors = unpackParams(layout, initial(1));
const of = (name: string) => tensors.get(name)!.data;
const mean = (x: Float32Array) => x.reduce((a, b) => a + b, 0) / x.length;

Deno.test("biases start at 0, norms at 1, the ends of residual branches at 0", () => {
  for (const [name, { shape, data }] of tensors) {
    if (name.endsWith(".bias")) assert(data.every((x) => x === 0), name);
    else if (shape.length === 1) assert(data.every((x) => x === 1), name);
    else if (/(conv2|to_out\.0|conv_out)\.weight$/.test(name)) {
      assert(data.every((x) => x === 0), name);
    } else {
      assert(data.some((x) => x !== 0), name);
    }
  }
});

Deno.test("weights have the variance 2/(fan_in + fan_out) and class embeddings 1", () => {
  const [out, into, kh, kw] = tensors.get("down_blocks.0.resnets.0.conv1.weight")!.shape;
  const expected = 2 / ((into + out) * kh * kw);
  const weight = of("down_blocks.0.resnets.0.conv1.weight");
  const variance = mean(weight.map((x) => x * x));
  assertAlmostEquals(variance / expected, 1, 0.1);
  assertAlmostEquals(mean(of("class_embedding.weight").map((x) => x * x)), 1, 0.2);
});

Deno.test("a seed gives the same parameters again, another seed others", () => {
  assertEquals(initial(5), initial(5));
  assertNotEquals(initial(5), initial(6));
});

Deno.test("a tensor begins by the seed and its own name, whatever is beside it", () => {
  const shapes = (...names: string[]) => layoutOf(new Map(names.map((name) => [name, [4, 4]])));
  const of = (seed: number, ...names: string[]) => {
    const layout = shapes(...names);
    const theta = initialTheta(layout, seed);
    return new Map(
      layout.params.map(({ name, offset, size }) => [name, theta.slice(offset, offset + size)]),
    );
  };
  const both = of(3, "a.weight", "b.weight");
  assertEquals(of(3, "b.weight").get("b.weight"), both.get("b.weight"));
  assertNotEquals(both.get("a.weight"), both.get("b.weight"));
  assertNotEquals(of(4, "a.weight").get("a.weight"), both.get("a.weight"));
});

Deno.test("what a seed's parameters are is written down", () => {
  const layout = layoutOf(new Map([["a.weight", [2, 2]], ["b.bias", [1]], ["c.weight", [1]]]));
  const close = (found: Float32Array, expected: readonly number[]) =>
    expected.forEach((x, i) => assertAlmostEquals(found[i], x, 1e-6));
  close(initialTheta(layout, 7), [0.9549888, -0.2467385, 0.267742, -0.8203723, 0, 1]);
  const normal = initialTheta(layout, 7, () => "normal");
  close(normal, [-1.9090452, 0.5034943, 0.9541669, 0.811448, 0, 1]);
  assertEquals([...initialTheta(layout, 7, () => "zeros")], [0, 0, 0, 0, 0, 0]);
});

Deno.test("parameters lie by name, each where the layout says; the first mean is the parameters", () => {
  const layout = layoutOf(new Map([["b", [2, 2]], ["a", [3]], ["c", []]]));
  assertEquals(layout.params.map(({ name, offset, size }) => [name, offset, size]), [
    ["a", 0, 3],
    ["b", 3, 4],
    ["c", 7, 1],
  ]);
  const tensors = new Map(
    [["c", [9]], ["a", [1, 2, 3]], ["b", [4, 5, 6, 7]]].map(([name, data]) =>
      [name as string, Float32Array.from(data as number[])] as const
    ),
  );
  const theta = packParams(layout, tensors);
  assertEquals([...theta], [1, 2, 3, 4, 5, 6, 7, 9]);
  assertThrows(
    () => packParams(layout, new Map([...tensors, ["a", new Float32Array(2)]])),
    Error,
    'parameter "a": expected 3 numbers, found 2',
  );
  assertThrows(
    () => packParams(layout, new Map([...tensors].slice(1))),
    Error,
    'parameter "c": expected 1 numbers, found none',
  );
  for (const length of [7, 9]) {
    assertThrows(
      () => unpackParams(layout, new Float32Array(length)),
      Error,
      `expected a vector of 8 parameters, found ${length}`,
    );
  }
  const state = initialState(theta);
  assertEquals([[...state.m], [...state.v]], [Array(8).fill(0), Array(8).fill(0)]);
  assert(state.ema !== state.theta && state.ema.every((x, i) => x === theta[i]));
});
