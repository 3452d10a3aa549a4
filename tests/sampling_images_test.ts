/** Many images at once: how many are under way, what each ends with, and what of it is left behind. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  createGenerator,
  parseSchedulerConfig,
  type Run,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import { FieldError } from "../src/errors.ts";
import { decodePng } from "../src/image/png.ts";
import { fromText, RECIPE_KEYWORD } from "../src/recipe/recipe.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { invert } from "../src/sampling/interpolate.ts";
import { generate, gridPng } from "../src/sampling/pictures.ts";
import { planRun } from "../src/sampling/plan.ts";
import { sample, type SampleOptions } from "../src/sampling/sample.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork, type FakeOptions, gate, settled } from "./sampling_network.ts";

const { ddim } = schedulers;
const classes: FakeOptions = { labels: ["a", "b"], nullLabel: 2 };

/** A sampler under this name that does no more than it is told to. */
function sampler(run: (run: Run) => ReturnType<NonNullable<Scheduler["sampler"]>>): Scheduler {
  return { name: "mine", api: 1, sampler: run };
}

Deno.test("the last frame's x is what the sampler returns, the frames before have their own", async () => {
  const scheduler = sampler(async function* (run) {
    for (const t of run.timesteps) {
      await Promise.resolve();
      yield { t, x: new Float32Array(16).fill(t), x_0: new Float32Array(16).fill(-t) };
    }
    return new Float32Array(16).fill(7);
  });
  const request = { seeds: [1], scheduler, timesteps: [500, 30] };
  const frames = await Array.fromAsync(sample(fakeNetwork(), request));
  assertEquals(frames.map(({ t, x, x_0, done }) => [t, x[0], x_0[0], done]), [
    [500, 500, -500, false],
    [30, 7, -30, true],
  ]);
});

Deno.test("samplers that stand at a frame when nobody wants the next one end, too", async () => {
  let steps = 0, ended = 0;
  const scheduler = sampler(async function* (run) {
    try {
      for (const t of run.timesteps) {
        await Promise.resolve();
        steps++;
        yield { t, x: run.x, x_0: run.x };
      }
      return run.x;
    } finally {
      ended++;
    }
  });
  const frames = sample(fakeNetwork(), { seeds: [1, 2], scheduler, steps: 100, maxBatch: 2 });
  await frames.next();
  await settled();
  const before = steps;
  await frames.return();
  assertEquals([steps, ended], [before, 2], "not a step more");
});

Deno.test("what is given for each seed is given as often as there are seeds", async () => {
  const x_T = new Float32Array(16), inputs = { hint: { sha256: "ab", value: 1 } };
  const hinted: Scheduler = { ...ddim, needs: ["hint"] };
  const lists = (n: number): [string, Partial<SampleOptions>][] => [
    ["labels", { labels: Array(n).fill(1) }],
    ["mix", { mix: Array(n).fill({ label: 1 }) }],
    ["x_T", { x_T: Array(n).fill(x_T) }],
    ["inputs", { inputs: Array(n).fill(inputs) }],
  ];
  for (const n of [0, 1, 2, 3]) {
    for (const [name, list] of lists(n)) {
      const network = fakeNetwork(classes);
      const scheduler = name === "inputs" ? hinted : ddim;
      const frames = sample(network, { seeds: [4, 5], scheduler, steps: 1, ...list });
      if (n === 2) {
        assertEquals((await Array.fromAsync(frames)).length, 2, name);
        continue;
      }
      const says = `${name}: expected one for each of 2 seeds, found ${n}`;
      await assertRejects(() => frames.next(), FieldError, says);
      assertEquals(network.asked, []);
    }
  }
});

Deno.test("as many images are under way as their evaluations fill a batch, one at least", async () => {
  const first = async (request: Partial<SampleOptions>) => {
    const network = fakeNetwork(classes);
    const seeds = Array.from({ length: 9 }, (_, i) => 2 * i);
    await Array.fromAsync(sample(network, { seeds, scheduler: ddim, steps: 2, ...request }));
    const { x, t } = network.asked[0];
    const starts = new Set(t.map((_, n) => x.subarray(16 * n, 16 * n + 16).join()));
    return [starts.size, t.length];
  };
  const mix = { label: "b" };
  assertEquals(await first({ maxBatch: 6 }), [6, 6]);
  assertEquals(await first({ maxBatch: 6, guidance: 2 }), [3, 6]);
  assertEquals(await first({ maxBatch: 6, mix }), [3, 6]);
  assertEquals(await first({ maxBatch: 6, mix, guidance: 2 }), [2, 6]);
  assertEquals(await first({ maxBatch: 7, mix, guidance: 2 }), [2, 6]);
  assertEquals(await first({ maxBatch: 2, mix, guidance: 2 }), [1, 2]);
  assertEquals(await first({ maxBatch: 1, guidance: 2 }), [1, 1]);
  // One that is mixed is enough: all have room for it.
  const one = [mix, ...Array(8).fill(undefined)];
  assertEquals(await first({ maxBatch: 6, mix: one, guidance: 1 }), [3, 4]);
});

Deno.test("counting ends in a step that does not, and closes the sampler", async () => {
  const config = parseSchedulerConfig({});
  let ended = 0;
  const endless = (first: number) =>
    sampler(async function* (run) {
      try {
        for (const [i, t] of run.timesteps.entries()) {
          let asked = i === 0 ? first : Infinity;
          while (asked-- > 0) await run.denoise(run.x, t);
          yield { t, x: run.x, x_0: run.x };
        }
        return run.x;
      } finally {
        ended++;
      }
    });
  const count = (scheduler: Scheduler, atMost?: number) =>
    countEvaluations(planRun(config, { scheduler, steps: 3 }), { guidance: 1 }, atMost);
  assertEquals(await count(endless(Infinity), 10), 1011, "a step may pass the end, by so much");
  assertEquals(await count(endless(11), 10), 11, "after the step that passes it no other is asked");
  assertEquals(ended, 2);
  assertEquals(await count(ddim, 3), 3);
  assertEquals(await count(ddim), 3);
});

Deno.test("a count is told the measurement's noise, whether it is guided, and one pixel", async () => {
  const config = parseSchedulerConfig({});
  const seen: unknown[] = [];
  const scheduler: Scheduler = {
    ...sampler(async function* ({ x, inputs: { measurement }, guided, timesteps, denoise }) {
      seen.push([x.length, measurement?.sigma_y, measurement?.y.length, guided]);
      for (const t of timesteps) yield { t, x, x_0: (await denoise(x, t)).x_0 };
      return x;
    }),
  };
  const count = (needs: string[], guidance: number, sigma_y?: number) => {
    const plan = planRun(config, { scheduler: { ...scheduler, needs }, steps: 1 });
    return countEvaluations(plan, { guidance }, Infinity, sigma_y);
  };
  assertEquals(await count(["measurement"], 1, 0.5), 1);
  assertEquals(await count(["measurement"], 3), 2);
  assertEquals(await count([], 1, 0.5), 1);
  assertEquals(seen, [[1, 0.5, 1, false], [1, 0, 1, true], [1, undefined, undefined, false]]);
});

Deno.test("a count asks at each level's own time, under any variance, and passes on what goes wrong", async () => {
  const config = parseSchedulerConfig({ variance_type: "learned_range" });
  const count = (scheduler: Scheduler, guided?: readonly [number, number]) =>
    countEvaluations(planRun(config, { scheduler, steps: 3 }), { guidance: 2, guided });
  assertEquals(await count(schedulers.ddpm), 6);
  // At t = 999 of the noise that there is at 100, where it is guided: three evaluations, and a gradient.
  const level = planRun(config, { scheduler: ddim, steps: 1 }).schedule.alpha_bar(100);
  const away = sampler(async function* ({ x, timesteps, denoise, vjp }) {
    for (const t of timesteps) yield { t, x, x_0: (await denoise(x, 999, level)).x_0 };
    return await vjp!(x, 999, x, level);
  });
  assertEquals(await count(away, [50, 150]), 3 * 2 + 2 * 2);
  assertEquals(await count(away, [950, 999]), 3 + 2);
  const broken = sampler(async function* ({ x }) {
    await Promise.resolve();
    yield { t: 1, x, x_0: x };
    throw new Error("mine broke");
  });
  await assertRejects(() => count(broken), Error, "mine broke");
});

Deno.test("what stops a run before it begins, or in the middle of a step, lets nothing more be asked", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  const unasked = fakeNetwork();
  const wrong = { seeds: [-1], scheduler: ddim, steps: 0, signal };
  await assertRejects(() => sample(unasked, wrong).next(), Error, "enough");
  assertEquals(unasked.asked, []);
  // Heun asks twice a step: of the second step the first question is under way.
  for (const signal of [undefined, new AbortController().signal]) {
    const door = gate();
    const network = fakeNetwork({
      before: () => network.asked.length === 3 ? door.opened : undefined,
    });
    const frames = sample(network, { seeds: [1], scheduler: schedulers.heun, steps: 9, signal });
    await frames.next();
    await settled();
    const ended = frames.return();
    door.open();
    await ended;
    await settled();
    assertEquals(network.asked.length, 3);
  }
});

Deno.test("a failure stops the other images at once, whether or not anybody has heard of it", async () => {
  const scheduler = sampler(async function* ({ x, timesteps: [t, s], denoise }) {
    yield { t, x, x_0: (await denoise(x, t)).x_0 };
    if (x[0] < 0) throw new Error("mine broke");
    for (const later of [3, 2, 1]) await denoise(x, later);
    yield { t: s, x, x_0: x };
    return x;
  });
  const network = fakeNetwork();
  const first = (seed: number) => createGenerator(seed).randn(16)[0];
  const seeds = [1, -1].map((sign) => [0, 1, 2, 3, 4, 5].find((seed) => sign * first(seed) > 0)!);
  const frames = sample(network, { seeds, scheduler, timesteps: [500, 30] });
  await frames.next();
  // As many evaluations as there might be.
  for (let i = 0; i < 9; i++) await new Promise((resolve) => setImmediate(resolve));
  assertEquals(network.asked.map(({ t }) => t), [[500, 500]]);
  await assertRejects(() => Array.fromAsync(frames), Error, "mine broke");
});

Deno.test("a finished picture has its seed, class and recipe, in its file as well", async () => {
  const [picture] = await generate(fakeNetwork(classes), { seeds: [4], labels: "b", steps: 1 });
  const { recipe } = picture;
  assertEquals([picture.seed, picture.label, recipe.seed, recipe.label], [4, 1, 4, 1]);
  const png = await decodePng(await picture.png(), "a.png");
  assertEquals(fromText(png.text[RECIPE_KEYWORD], "a.png"), [recipe]);
  assertEquals(png.pixels, picture.pixels);
  const grid = await decodePng(await gridPng([picture, picture]), "a.png");
  assertEquals([grid.width > picture.width, fromText(grid.text[RECIPE_KEYWORD], "a.png")], [
    true,
    [recipe, recipe],
  ]);
});

Deno.test("a schedule of a plug-in's own length is spaced by it, and one that ends above pure noise is taken", () => {
  const own: Scheduler = { name: "own", api: 1, betas: () => new Float64Array(100).fill(0.05) };
  const config = parseSchedulerConfig({});
  assertEquals([...planRun(config, { scheduler: own, steps: 4 }).timesteps], [75, 50, 25, 0]);
  const pure = parseSchedulerConfig({ rescale_betas_zero_snr: true });
  const { schedule } = planRun(pure, { scheduler: ddim, steps: 4, schedule: "linear" });
  assert(schedule.alpha_bar(999) > 0, "what the refusal of pure noise proposes");
});

Deno.test("a picture is inverted from its last timestep to its first, asked about as it is", async () => {
  const network = fakeNetwork();
  const x_0 = Float32Array.from({ length: 16 }, (_, i) => i / 8 - 1);
  const before = x_0.slice();
  const x_T = await invert(network, x_0, { scheduler: ddim, steps: 4, guidance: 1 });
  assertEquals(network.asked.map(({ t }) => t), [[0], [250], [500], [750]]);
  assertEquals([network.asked[0].x, x_0], [before, before]);
  assert(network.asked.every(({ x }, i, all) => i === 0 || x[0] !== all[i - 1].x[0]));
  assert(x_T !== x_0 && x_T.every(Number.isFinite));
});
