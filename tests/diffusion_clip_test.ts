/** What samplers do with an estimate that leaves the pixels' range. */
import { assert, assertEquals } from "@std/assert";
import {
  clipOption,
  makeClip,
  parseSchedulerConfig,
  type Run,
  solverClip,
} from "../src/diffusion/mod.ts";

const x_0 = Float32Array.of(-3, -0.5, 0, 0.5, 2);

/** What a solver makes of x_0 under a config and its option `clip`. */
function solved(keys: Record<string, unknown>, clip: boolean): Float32Array {
  const config = parseSchedulerConfig(keys);
  return solverClip({ config, options: { clip }, clip: makeClip(config) } as unknown as Run)(x_0);
}

Deno.test("solvers have an option for it, which is on", () => {
  const { type, default: usual } = clipOption;
  assertEquals([type, usual], ["boolean", true]);
});

Deno.test("a solver clips unless it is told not to", () => {
  assertEquals(solved({}, true), Float32Array.of(-1, -0.5, 0, 0.5, 1));
  assertEquals(solved({}, false), x_0);
});

Deno.test("dynamic thresholding stays on without the clip, as in diffusers' solvers", () => {
  const keys = { thresholding: true, dynamic_thresholding_ratio: 1, sample_max_value: 10 };
  // The quantile 1 of |x_0| is 3: everything within ±3, divided by 3.
  const expected = x_0.map((x) => x / 3);
  for (const clip of [true, false]) assertEquals(solved(keys, clip), expected);
});

Deno.test("the threshold is at least 1 and at most sample_max_value", () => {
  const threshold = (keys: Record<string, unknown>, x: Float32Array) =>
    makeClip(parseSchedulerConfig({ thresholding: true, ...keys }))(x);
  const small = Float32Array.of(-0.2, 0.4);
  assertEquals(threshold({ sample_max_value: 2 }, small), small);
  assertEquals(
    threshold({ sample_max_value: 2 }, Float32Array.of(-8, 1)),
    Float32Array.of(-1, 0.5),
  );
});

Deno.test("clipping keeps NaN, and leaves the array it is given alone", () => {
  const given = Float32Array.of(NaN, 5);
  const clipped = makeClip(parseSchedulerConfig({}))(given);
  assert(Number.isNaN(clipped[0]) && clipped[1] === 1);
  assertEquals(given[1], 5);
});

Deno.test("sample_max_value wins over 1 where it is smaller, as in torch", () => {
  const keys = { thresholding: true, dynamic_thresholding_ratio: 1 };
  const clip = (sample_max_value: number) =>
    makeClip(parseSchedulerConfig({ ...keys, sample_max_value }))(x_0);
  assertEquals(clip(0.5), Float32Array.of(-1, -1, 0, 1, 1));
  assertEquals(clip(2.5), Float32Array.of(-1, -0.2, 0, 0.2, 0.8));
});
