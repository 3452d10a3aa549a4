/** The pictures that the commands draw of a process: schedules as curves, a run as a film. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { curvesSvg } from "../src/cli/drawing/curves.ts";
import { Film } from "../src/cli/drawing/film.ts";
import { closedForm, stepByStep, timestepsToShow } from "../src/cli/drawing/forward.ts";
import { stepsToShow } from "../src/sampling/making.ts";
import {
  createGenerator,
  linearBetas,
  makeSchedule,
  parseSchedulerConfig,
  q_step,
} from "../src/diffusion/mod.ts";
import { captionScale, labelledGrid } from "../src/image/labelled_grid.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { textWidth } from "../src/image/text.ts";
import { schedulers } from "../schedulers/mod.ts";
import type { SampleFrame } from "../src/sampling/sample.ts";
import { planRun } from "../src/sampling/plan.ts";

/** The axes of a panel: 340 × 230, ᾱ from 0 to 1 and ln(ᾱ/(1−ᾱ)) from −15 to 15. */
const WIDTH = 340, HEIGHT = 230;

Deno.test("the curves go through ᾱ and the log signal-to-noise ratio of the schedule", () => {
  // ᾱ = 0.9, 0.72, 0.36: log SNR ln 9, ln(0.72/0.28), ln(0.36/0.64).
  const schedule = makeSchedule([0.1, 0.2, 0.5]);
  const svg = curvesSvg(new Map([["mine", schedule]]));
  const lines = [...svg.matchAll(/<polyline points="([^"]+)"/g)].map(([, points]) =>
    points.split(" ").map((point) => point.split(",").map(Number))
  );
  assertEquals(lines.length, 2);
  const alpha_bars = [0.9, 0.72, 0.36];
  const [shares, ratios] = lines;
  for (const [t, alpha_bar] of alpha_bars.entries()) {
    const x = t / 2 * WIDTH;
    const at = (line: number[][]) => line.find(([px]) => Math.abs(px - x) < 0.06)![1];
    assert(Math.abs(at(shares) - HEIGHT * (1 - alpha_bar)) < 0.06, `ᾱ of ${t}`);
    const ratio = Math.log(alpha_bar / (1 - alpha_bar));
    assert(Math.abs(at(ratios) - HEIGHT * (1 - (ratio + 15) / 30)) < 0.06, `log SNR of ${t}`);
  }
});

Deno.test("a film shows x_t on the left and the estimate of the picture on the right", () => {
  const config = parseSchedulerConfig({});
  const plan = planRun(config, { scheduler: schedulers.ddim, steps: 2 });
  const film = new Film(plan, [1, 4, 4], 1);
  const grey = (value: number) => new Float32Array(16).fill(value);
  const recipe = {} as SampleFrame["recipe"];
  const common = { seed: 1, index: 0, steps: 2, recipe };
  film.add({ ...common, step: 1, t: 500, x: grey(-0.5), x_0: grey(0.5), done: false });
  film.add({ ...common, step: 2, t: 0, x: grey(0.25), x_0: grey(0.25), done: true });
  const { frames, delay } = film.develop();
  assertEquals(frames.length, 2);
  assert(delay[1] > delay[0], "the picture stays longer than the steps");
  const [{ pixels, width, height, channels }] = frames;
  const row = Math.floor(height * 0.75);
  const levels = Array.from({ length: width }, (_, x) => pixels[(row * width + x) * channels]);
  // −0.5 is level 64, 0.5 is 191.
  const left = levels.indexOf(64), right = levels.indexOf(191);
  assert(left >= 0 && right > left, `x_t begins at ${left}, x_0 at ${right}`);
  assertEquals(levels.slice(right).includes(64), false);
});

Deno.test("a film's steps are even in log-SNR, and the last is always shown", () => {
  const schedule = makeSchedule(linearBetas(1000));
  const timesteps = Array.from({ length: 1000 }, (_, i) => 999 - i);
  const steps = stepsToShow({ timesteps, schedule }, 11);
  assertEquals([steps[0], steps.at(-1)], [1, 1000]);
  const lambdas = steps.slice(0, -1).map((step) => schedule.lambda(timesteps[step - 1]));
  const gaps = lambdas.slice(1).map((lambda, i) => lambda - lambdas[i]);
  const even = (schedule.lambda(0) - schedule.lambda(999)) / 10;
  // Beside t = 0 the timesteps themselves lie further apart than that.
  for (const gap of gaps.slice(0, 6)) assert(Math.abs(gap - even) < 0.1 * even, `${gaps}`);
});

/** The points of every curve, and the texts beside them. */
function drawn(svg: string) {
  const curves = [...svg.matchAll(/<polyline points="([^"]+)" fill="none" stroke="(#\w+)"/g)].map(
    ([, points, colour]) => ({
      colour,
      points: points.split(" ").map((point) => point.split(",").map(Number)),
    }),
  );
  const texts = [...svg.matchAll(/<text [^>]*>([^<]+)</g)].map(([, text]) => text);
  return { curves, texts };
}

Deno.test("curves reach from side to side and never leave their panel, also of a single step", () => {
  // ᾱ falls to 1e-20: its log SNR of −46 lies far below the axis.
  const steep = makeSchedule(Array.from({ length: 20 }, () => 0.9));
  const { curves, texts } = drawn(curvesSvg(new Map([["steep", steep]])));
  for (const { points } of curves) {
    assertEquals([points.length, points[0][0], points.at(-1)![0]], [200, 0, WIDTH]);
    for (const [x, y] of points) assert(x >= 0 && x <= WIDTH && y >= 0 && y <= HEIGHT, `${x},${y}`);
  }
  assertEquals(curves[1].points.at(-1), [WIDTH, HEIGHT], "it lies on the bottom");
  assertEquals(curves[0].points[0][1], 207, "ᾱ_1 = 0.1 of 230 from below");
  const times = (T: number) => {
    const schedule = makeSchedule(Array.from({ length: T }, () => 0.1));
    const { texts } = drawn(curvesSvg(new Map([["s", schedule]])));
    return texts.slice(6, 11).join();
  };
  assertEquals([times(1000), times(10), times(1)], [
    "1,250,500,750,1000",
    "1,3,5,8,10",
    "1,1,1,1,1",
  ]);
  assert(texts.includes("−15") && texts.includes("15"), "a minus, not a hyphen");
  const single = drawn(curvesSvg(new Map([["one", makeSchedule([0.5])]])));
  assertEquals(single.curves[0].points[0], [0, 115]);
});

Deno.test("each schedule has a colour of its own and its name in it; the sixth begins anew", () => {
  const schedule = makeSchedule(linearBetas(10));
  const names = ["a", "b", "c", "d", "e", "f"];
  const svg = curvesSvg(new Map(names.map((name) => [name, schedule])));
  const { curves, texts } = drawn(svg);
  const colours = curves.slice(0, 6).map(({ colour }) => colour);
  assertEquals(new Set(colours.slice(0, 5)).size, 5);
  assertEquals([colours[5], curves[6].colour], [colours[0], colours[0]]);
  assertEquals(texts.slice(-6), names);
  const legend = [...svg.matchAll(/h24" stroke="(#\w+)"/g)].map(([, colour]) => colour);
  assertEquals(legend, colours);
});

Deno.test("curves' places: two panels side by side, ticks on their axes, names below, 150 apart", () => {
  const schedule = makeSchedule(linearBetas(1000));
  const svg = curvesSvg(new Map([["a", schedule], ["b", schedule]]));
  const all = (pattern: RegExp) =>
    [...svg.matchAll(pattern)].map(([, ...found]) => found.join(" "));
  // 48 on the left, 340 of a panel, 24 on the right, twice; 36 above, 230, 72 below.
  assertEquals(all(/<svg [^>]*viewBox="([^"]+)" width="(\d+)" height="(\d+)"/g), [
    "0 0 824 338 824 338",
  ]);
  assertEquals(all(/<g transform="translate\(([^)]+)\)"/g), ["48 36", "460 36"]);
  const texts = all(/<text x="([^"]+)" y="([^"]+)"[^>]*>([^<]+)</g);
  const titles = ["0 -14 ᾱ, the picture's share", "0 -14 log SNR, ln(ᾱ/(1−ᾱ))"];
  const times = ["0 248 1", "85 248 250", "170 248 500", "255 248 750", "340 248 1000"];
  assertEquals(texts, [
    titles[0],
    ...["-6 234.0 0", "-6 176.5 0.25", "-6 119.0 0.5", "-6 61.5 0.75", "-6 4.0 1"],
    ...[...times, "170 264 t", titles[1]],
    ...["-6 234.0 −15", "-6 195.7 −10", "-6 157.3 −5", "-6 119.0 0", "-6 80.7 5"],
    ...["-6 42.3 10", "-6 4.0 15", ...times, "170 264 t", "78 322 a", "228 322 b"],
  ]);
  const ticks = all(/<path d="([^"]+)" stroke="#e4e4e4"/g);
  assertEquals([ticks[0], ticks[5], ticks.length], ["M0 230.0h340", "M0 0v230", 22]);
  assertEquals(all(/<path d="(M\d+ 318h24)"/g), ["M48 318h24", "M198 318h24"]);
  assertEquals(all(/<path d="(M0 0V[^"]+)"/g), ["M0 0V230H340", "M0 0V230H340"]);
});

/** A film of grey pictures, whose levels say whose they are. */
function filmOf(pictures: number, timesteps: number[]) {
  const config = parseSchedulerConfig({});
  const plan = planRun(config, { scheduler: schedulers.ddim, steps: timesteps.length, timesteps });
  const film = new Film(plan, [1, 4, 4], pictures);
  const grey = (value: number) => new Float32Array(16).fill(value / 127.5 - 1);
  for (let step = 1; step <= timesteps.length; step++) {
    for (let index = pictures - 1; index >= 0; index--) {
      const at = { seed: 1, index, step, steps: timesteps.length, t: timesteps[step - 1] };
      const [x, x_0] = [grey(20 * index + step), grey(100 + 20 * index + step)];
      film.add({ ...at, recipe: {} as SampleFrame["recipe"], x, x_0, done: false });
    }
  }
  return film.develop();
}

/** Levels of the cells from left to right and top to bottom, paper and words left out. */
function cellsOf({ pixels, width, height, channels }: ReturnType<typeof filmOf>["frames"][0]) {
  const rows: number[][] = [];
  for (let y = 0; y < height; y++) {
    const row: number[] = [];
    for (let x = 2; x < width; x++) {
      const at = (y * width + x) * channels;
      const level = pixels[at];
      const flat = [1, 2].every((d) => pixels[at - d * channels] === level);
      if (flat && level > 0 && level < 255 && row.at(-1) !== level) row.push(level);
    }
    if (row.length > 0 && row.join() !== rows.at(-1)?.join()) rows.push(row);
  }
  return rows.filter((row) => row.length > 1);
}

Deno.test("a film has pairs of x_t and x_0 in about a square, each picture in its place", () => {
  const [frame] = filmOf(1, [500, 0]).frames;
  assertEquals(cellsOf(frame), [[1, 101]]);
  assertEquals(cellsOf(filmOf(2, [500, 0]).frames[1]), [[2, 102, 22, 122]]);
  assertEquals(cellsOf(filmOf(3, [500, 0]).frames[0]), [[1, 101, 21, 121], [41, 141]]);
  assertEquals(cellsOf(filmOf(4, [500, 0]).frames[0]), [[1, 101, 21, 121], [41, 141, 61, 161]]);
});

Deno.test("a film's frame is pairs under x_t and x_0, with t beside the first row alone", () => {
  const timesteps = [500, 7, 0];
  const { frames } = filmOf(3, timesteps);
  const cell = (value: number): Pixels => ({
    pixels: new Uint8Array(64 * 64).fill(value),
    width: 64,
    height: 64,
    channels: 1,
  });
  // After the first step x has the noise of t = 7, which the paper counts as 8; at last it is the picture.
  for (const [step, when] of [[1, "t=8"], [2, "t=1"], [3, "t=0"]] as const) {
    const pairs = [0, 1, 2].map((index) => [20 * index + step, 100 + 20 * index + step].map(cell));
    const expected = labelledGrid([[...pairs[0], ...pairs[1]], pairs[2]], {
      rows: [when, ""],
      columns: ["x_t", "x_0", "x_t", "x_0"],
      scale: captionScale(64),
    });
    assertEquals([...frames[step - 1].pixels], [...expected.pixels], when);
  }
});

Deno.test("all frames of a film are of one size, whatever t they tell", () => {
  for (const timesteps of [[999, 99, 9, 0], [5, 0]]) {
    const { frames, delay } = filmOf(3, timesteps);
    assertEquals([frames.length, delay.length], [timesteps.length, timesteps.length]);
    assertEquals(new Set(frames.map(({ width, height }) => `${width} ${height}`)).size, 1);
    // The words beside the pictures are as wide as the longest t: after the first step it is that of the second.
    const longest = textWidth(`t=${timesteps[1] + 1}`);
    const cells = 4 * 64;
    assertEquals(frames[0].width, 4 + longest + 4 + cells + 4 * 4);
  }
  const [first, second, last] = filmOf(1, [999, 50, 20]).frames;
  assertNotEquals(first.pixels, second.pixels);
  assertNotEquals(second.pixels, last.pixels);
});

Deno.test("of the forward process the first state is the picture and the last is T − 1, evenly between", () => {
  assertEquals(timestepsToShow(1000, 2), [-1, 999]);
  assertEquals(timestepsToShow(10, 11), [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertEquals(timestepsToShow(1000, 9).at(-1), 999);
});

Deno.test("in closed form all states have the same noise; a walk draws anew, with each step's own β", () => {
  const schedule = makeSchedule([0.1, 0.4, 0.2]);
  const x_0 = Float32Array.of(0.5, -0.5);
  const states = [...closedForm(x_0, schedule, [-1, 0, 2], createGenerator(4))];
  const eps = createGenerator(4).randn(2);
  for (const [i, t] of [-1, 0, 2].entries()) {
    const alpha_bar = schedule.alpha_bar(t);
    for (const p of [0, 1]) {
      const expected = Math.sqrt(alpha_bar) * x_0[p] + Math.sqrt(1 - alpha_bar) * eps[p];
      assert(Math.abs(states[i][p] - expected) < 1e-6, `t = ${t}`);
    }
  }
  const noise = createGenerator(4);
  let x: Float32Array = x_0;
  const walk = [x];
  for (const t of [0, 1, 2]) walk.push(x = q_step(x, t, schedule, noise.randn(2)));
  const walked = [...stepByStep(x_0, schedule, [-1, 0, 1, 2], createGenerator(4))];
  assertEquals(walked, walk);
  assertEquals([...stepByStep(x_0, schedule, [1], createGenerator(4))], [walk[2]]);
});
