/** What a measurement says of a picture, by an operator small enough to work out by hand. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  alphaBarOfSigma,
  applyBySvd,
  fromSpectrum,
  type LinearOperator,
  type Measurement,
  measurementOf,
  missingShare,
  observe,
  project,
  pseudoInverse,
  residualOf,
  residualRms,
  type Run,
  sigmaOf,
  timeTravel,
  toSpectrum,
  travelSteps,
  type Vector,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";

/** y_i = s_i x_i. */
function scaling(...s: number[]): LinearOperator {
  const shape = [1, 1, s.length] as const;
  const times = (x: Vector) => Float64Array.from(s, (s, i) => s * x[i]);
  const seen = (x: Vector) => Float64Array.from(s, (s, i) => s > 0 ? x[i] : 0);
  const same = (x: Vector) => Float64Array.from(x);
  return {
    name: "scaling",
    shape,
    measured: shape,
    s: Float64Array.from(s),
    apply: times,
    Vt: same,
    V: same,
    Ut: seen,
    U: seen,
  };
}

const measured = (sigma_y = 0): Measurement => ({
  operator: scaling(2, 0.5, 0, 1e-9),
  y: Float32Array.of(1, 0.25, 7, 3),
  sigma_y,
});

Deno.test("each component is y over its singular value, under the noise over it; the rest is missing", () => {
  const { y_bar, noise } = observe(measured(0.1));
  assertEquals([...y_bar], [0.5, 0.5, 0, 0], "what is 10⁻⁹ of the largest says nothing");
  assertEquals([...noise], [0.05, 0.2, Infinity, Infinity]);
  assertEquals([...observe(measured()).noise], [0, 0, Infinity, Infinity]);
  assertEquals(missingShare(measured().operator), 0.5);
  assertEquals([
    missingShare(scaling(1, 1e-4)),
    missingShare(scaling(1, 0.9e-4)),
    missingShare(scaling(0, 0)),
  ], [0, 0.5, 1]);
  const of = (...s: number[]) => observe({ ...measured(0.1), operator: scaling(...s) });
  assertEquals(of(0, 0), {
    y_bar: Float64Array.of(0, 0),
    noise: Float64Array.of(Infinity, Infinity),
  });
  assertEquals([...of(1, 1e-4).y_bar], [1, 2500], "just enough of the largest");
  assertEquals(of(1, 0.9e-4).noise[1], Infinity);
  assertEquals(of(0.5, 0.7e-4).noise[1] < Infinity, true, "of what is largest, be it small");
  assertEquals(missingShare(scaling(0.5, 0.7e-4)), 0);
  assertEquals([...pseudoInverse(measured())], [0.5, 0.5, 0, 0]);
  assertEquals([...applyBySvd(scaling(2, 0.5, 0), Float32Array.of(3, 4, 5))], [6, 2, 0]);
});

Deno.test("a residual is what y has and H x has not; its size is the root of the mean square", () => {
  const x = Float32Array.of(1, 0.5, 9, 0);
  assertEquals([...residualOf(measured(), x)], [-1, 0, 7, 3]);
  assertAlmostEquals(residualRms(measured(), x), Math.sqrt((1 + 49 + 9) / 4), 1e-12);
});

Deno.test("projecting puts in what was measured, and leaves what was not", () => {
  const x = Float32Array.of(9, 9, 9, 9);
  for (const sigma_y of [0, 0.1]) {
    assertEquals([...project(measured(sigma_y), x)], [0.5, 0.5, 9, 9]);
  }
});

Deno.test("noise levels and spectra go round", () => {
  for (const alpha_bar of [1, 0.5, 0.01]) {
    assertAlmostEquals(alphaBarOfSigma(sigmaOf(alpha_bar)), alpha_bar, 1e-12);
  }
  assertEquals([sigmaOf(1), sigmaOf(0.5), sigmaOf(0), alphaBarOfSigma(Infinity)], [
    0,
    1,
    Infinity,
    0,
  ]);
  const operator = scaling(1, 1), x_t = Float32Array.of(1, -2);
  assertEquals([...toSpectrum(operator, x_t, 0.25)], [2, -4]);
  assertEquals([...fromSpectrum(operator, toSpectrum(operator, x_t, 0.25), 0.25)], [1, -2]);
});

Deno.test("a sampler that restores is given something to restore", () => {
  const run = (inputs: Run["inputs"]) => ({ inputs }) as Run;
  const measurement = measured();
  assert(measurementOf(run({ measurement }), "mine") === measurement);
  assertThrows(
    () => measurementOf(run({}), "mine"),
    InputError,
    'scheduler "mine": restores a measurement, and none was given',
  );
});

/** Moves as text: a place is a step (a dot where it is not the last there), <to a jump back. */
const moves = (n: number, length: number, repeats: number) =>
  timeTravel(n, length, repeats)
    .map((move) => move.kind === "back" ? `<${move.to}` : `${move.at}${move.last ? "" : "."}`)
    .join(" ");

Deno.test("time travel goes back so many steps at every so many, as often as it is to pass there", () => {
  assertEquals(moves(4, 2, 1), "0 1 2 3");
  assertEquals(moves(3, 1, 2), "0. <0 0 1. <1 1 2");
  assertEquals(moves(5, 2, 2), "0. 1. <0 0 1 2. 3. <2 2 3 4");
  assertEquals(moves(5, 2, 3), "0. 1. <0 0. 1. <0 0 1 2. 3. <2 2. 3. <2 2 3 4");
  assertEquals(moves(4, 3, 2), "0. 1. 2. <0 0 1 2 3");
  assertEquals(moves(4, 4, 2), "0 1 2 3", "there is no room to travel");
  assertEquals([travelSteps(5, 2, 1), travelSteps(5, 2, 3), travelSteps(4, 9, 3)], [5, 13, 4]);
});
