/** Sampling at its edges: what is refused, what is waited for, and what is given up. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createGenerator, parseSchedulerConfig, type Scheduler } from "../src/diffusion/mod.ts";
import { FieldError, InputError } from "../src/errors.ts";
import type { Network } from "../src/model/network.ts";
import { Batcher } from "../src/sampling/batcher.ts";
import { Channel } from "../src/sampling/channel.ts";
import { denoiserOf } from "../src/sampling/denoiser.ts";
import { checkTaughtTimesteps, knowsEveryTimestep } from "../src/sampling/distilled.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { invert } from "../src/sampling/interpolate.ts";
import { generate, pictureOfFrame } from "../src/sampling/pictures.ts";
import { planRun } from "../src/sampling/plan.ts";
import { checkScheduler } from "../src/sampling/plugin.ts";
import { prepare, sample } from "../src/sampling/sample.ts";
import { schedulers } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { fakeNetwork, gate, settled } from "./sampling_network.ts";

const x = (value: number) => new Float32Array(16).fill(value);

Deno.test("u has the output's size, a gradient the picture's; what is of another size is refused", async () => {
  const network: Network = {
    ...fakeNetwork({ outChannels: 2 }),
    vjp: (x) => Promise.resolve(x.map((v) => 2 * v)),
  };
  const batcher = new Batcher(network);
  assertEquals(await batcher.evaluate({ x: x(1), t: 1, u: new Float32Array(32) }), x(2));
  for (const length of [16, 31, 33]) {
    const asked = batcher.evaluate({ x: x(1), t: 1, u: new Float32Array(length) });
    await assertRejects(
      () => asked,
      InputError,
      `u: expected 32 numbers ([2,4,4]), found ${length}`,
    );
  }
  for (const [given, expected] of [[15, 32], [17, 32], [48, 32]]) {
    const wrong = { ...network, predict: () => Promise.resolve(new Float32Array(given)) };
    await assertRejects(
      () => new Batcher(wrong).evaluate({ x: x(1), t: 1 }),
      Error,
      `${expected} numbers, found ${given}`,
    );
  }
});

Deno.test("a batcher is idle when the last evaluation has ended", async () => {
  const door = gate();
  const batcher = new Batcher(fakeNetwork({ before: () => door.opened }));
  await batcher.idle();
  const asked = batcher.evaluate({ x: x(1), t: 1 });
  let idle = false;
  const waiting = batcher.idle().then(() => idle = true);
  await settled();
  assertEquals(idle, false);
  door.open();
  await Promise.all([asked, waiting]);
});

Deno.test("a channel gives what was put in, in order, and has room for so many more", async () => {
  const channel = new Channel<number>(2);
  const pushed: number[] = [];
  const producer = (async () => {
    for (let i = 1; i <= 5; i++) {
      assert(await channel.push(i));
      pushed.push(i);
    }
    channel.end();
  })();
  await settled();
  assertEquals(pushed, [1, 2], "a third waits for room");
  const items: number[] = [];
  for await (const item of channel) {
    items.push(item);
    await settled();
    assertEquals(pushed.length, Math.min(5, 2 + items.length));
  }
  await producer;
  assertEquals(items, [1, 2, 3, 4, 5]);
  assertEquals(await channel.push(6), false, "it is closed");
});

Deno.test("after an error a channel gives what is there, then the error, and nothing that comes later", async () => {
  const channel = new Channel<number>(4);
  await channel.push(1);
  channel.end({ reason: new Error("lost") });
  channel.end();
  assertEquals(await channel.push(2), false);
  const items: number[] = [];
  await assertRejects(
    async () => {
      for await (const item of channel) items.push(item);
    },
    Error,
    "lost",
  );
  assertEquals(items, [1]);
});

Deno.test("a consumer that leaves lets producers go", async () => {
  const channel = new Channel<number>(1);
  const results = [channel.push(1), channel.push(2), channel.push(3)];
  for await (const _ of channel) break;
  assertEquals(await Promise.all(results), [true, false, false]);
});

const labelled = { labels: ["a", "b"], nullLabel: 2 };

Deno.test("an aborted call leaves none of its questions behind: class, second class, none", async () => {
  const network = fakeNetwork(labelled);
  const batcher = new Batcher(network);
  const stop = new AbortController();
  const { scheduler: config } = network;
  const levels = planRun(config, { scheduler: schedulers.ddim, steps: 2 });
  const conditioning = { label: 0, guidance: 3, mix: { label: 1, share: 0.5 } };
  const { denoise } = denoiserOf(batcher, levels, conditioning, stop.signal);
  const asked = denoise(x(1), 5);
  assertEquals(batcher.pending, 3);
  stop.abort(new Error("enough"));
  await assertRejects(() => asked, Error, "enough");
  assertEquals(batcher.pending, 0);
  await assertRejects(() => denoise(x(1), 5), Error, "enough");
  await settled();
  assertEquals(network.asked, []);
});

const teacher = "digits";
const taught = (steps?: number) =>
  fakeNetwork({ distilled: { teacher, guidance: 2, ...(steps && { steps }) } });

Deno.test("few-step weights answer at the timesteps they were taught, and at no others", () => {
  assertEquals(
    [undefined, { teacher, guidance: 2 }, { teacher, guidance: 2, steps: 4 }].map((distilled) =>
      knowsEveryTimestep({ distilled })
    ),
    [true, true, false],
  );
  const trailing = parseSchedulerConfig({ timestep_spacing: "trailing" });
  const check = (steps: number, timesteps?: number[], network = taught(4)) => {
    const plan = planRun(trailing, { scheduler: schedulers.ddim, steps, timesteps });
    return () => checkTaughtTimesteps(network, plan);
  };
  check(4)();
  check(2)(); // 999 and 499 are among the four.
  check(50, undefined, taught())();
  const field = (call: () => void) =>
    assertThrows(call, FieldError, `distilled from ${teacher} to draw in`).field;
  assertEquals([field(check(3)), field(check(8)), field(check(50))], ["steps", "steps", "steps"]);
  assertEquals(field(check(4, [999, 700, 499, 249])), "timesteps");
  assertEquals(field(check(1, [500])), "timesteps");
  assertThrows(check(1, [500], taught(1)), FieldError, "to draw in 1 step and know no others");
  const lesson =
    `these weights were distilled from ${teacher} to draw in 4 steps and know no others`;
  const steps = `steps: expected 4: ${lesson}; leave it out, or take ${teacher}, found 3`;
  assertThrows(check(3), FieldError, steps);
  const places = `timesteps: expected some of 999, 749, 499, 249: ${lesson}; ` +
    `leave scheduler, schedule and timesteps out, or take ${teacher}, found `;
  assertThrows(check(4, [999, 700, 499, 249]), FieldError, `${places}700`);
  // Under another schedule the network is asked at times of its own.
  const request = { scheduler: schedulers.ddim, steps: 4, schedule: "cosine" };
  const plan = planRun(trailing, request);
  const foreign = plan.modelTime(plan.timesteps[1]);
  assertThrows(() => checkTaughtTimesteps(taught(4), plan), FieldError, `${places}${foreign}`);
});

Deno.test("inverting asks no few-step weights at foreign times, takes pictures of one size, and can be stopped", async () => {
  const request = { scheduler: schedulers.ddim, steps: 10, guidance: 1 };
  await assertRejects(() => invert(taught(4), x(0), request), FieldError, "steps: expected 4");
  for (const length of [15, 17, 32]) {
    await assertRejects(
      () => invert(fakeNetwork(), new Float32Array(length), request),
      InputError,
      `expected a picture of [1,4,4], found ${length} numbers`,
    );
  }
  const network = fakeNetwork({
    before: () => network.asked.length === 3 ? stop.abort(new Error("enough")) : undefined,
  });
  const stop = new AbortController();
  await assertRejects(
    () => invert(network, x(0), { ...request, signal: stop.signal }),
    Error,
    "enough",
  );
  assertEquals(network.asked.length, 3);
});

/** Keeps what a run is given, and draws once. */
function watching() {
  const runs: { x: Float32Array; noise: Float32Array }[] = [];
  const scheduler: Scheduler = {
    name: "watching",
    api: 1,
    async *sampler(run) {
      const noise = run.noise();
      runs.push({ x: run.x, noise });
      let x = run.x;
      for (const t of run.timesteps) {
        yield { t, x: x = x.slice(), x_0: (await run.denoise(x, t)).x_0 };
      }
      return x;
    },
  };
  return { scheduler, runs };
}

Deno.test("another starting point takes only the first draw's place; it stays the caller's own", async () => {
  const { scheduler, runs } = watching();
  const x_T = [x(0.25)];
  const request = { seeds: [7], scheduler, steps: 1 };
  await generate(fakeNetwork(), request);
  await generate(fakeNetwork(), { ...request, x_T });
  const generator = createGenerator(7);
  const draws = [generator.randn(16), generator.randn(16)];
  assertEquals(runs.map(({ x, noise }) => [x, noise]), [draws, [x_T[0], draws[1]]]);
  assert(runs[1].x !== x_T[0]);
});

Deno.test("a starting point does not hide the other inputs from the recipe", async () => {
  const scheduler: Scheduler = { ...watching().scheduler, needs: ["hint"] };
  const hint = { sha256: "ab", value: 3 };
  const [{ recipe }] = await generate(fakeNetwork(), {
    seeds: [7],
    scheduler,
    steps: 1,
    x_T: [x(0.25)],
    inputs: { hint },
  });
  assertEquals(Object.keys(recipe.inputs!), ["hint", "x_T"]);
  assertEquals(recipe.inputs!.hint, "ab");
});

Deno.test("pictures come in the seeds' order, whichever is done first, and as large as asked", async () => {
  const late: Scheduler = {
    name: "late",
    api: 1,
    async *sampler(run) {
      let { x } = run;
      for (const t of run.timesteps) {
        const asked = run.x[0] > 0 ? 1 : 4;
        let x_0 = x;
        for (let i = 0; i < asked; i++) x_0 = (await run.denoise(x, t)).x_0;
        yield { t, x: x = x_0.map(Math.sign), x_0 };
      }
      return x;
    },
  };
  const seeds = [0, 1, 2, 3, 4, 5, 6, 7];
  const made = await generate(fakeNetwork(), { seeds, scheduler: late, steps: 2, scale: 3 });
  assertEquals(made.map(({ seed }) => seed), seeds);
  assertEquals(made.map(({ width, height }) => [width, height]), seeds.map(() => [12, 12]));
  const recipe = { ...made[0].recipe, scale: 2 };
  const { width, pixels } = pictureOfFrame({ x: x(1), recipe }, [1, 4, 4]);
  assertEquals([width, pixels.length, pixels[0]], [8, 64, 255]);
});

Deno.test("timesteps by hand go before a plug-in's own, and both are checked", () => {
  const own = (timesteps: number[]): Scheduler => ({
    name: "own",
    api: 1,
    timesteps: () => timesteps,
  });
  const config = parseSchedulerConfig({});
  const planned = (
    scheduler: Scheduler,
    timesteps?: number[],
  ) => [...planRun(config, { scheduler, steps: 2, timesteps }).timesteps];
  assertEquals(planned(own([9, 3])), [9, 3]);
  assertEquals(planned(own([9, 3]), [500, 20]), [500, 20]);
  assertEquals(planned({ name: "none", api: 1 }), [500, 0]);
  for (const wrong of [[], [3, 9], [1000], [-1]]) {
    assertThrows(() => planned(own(wrong)), InputError, "timesteps");
    assertThrows(() => planned(own([9, 3]), wrong), InputError, "timesteps");
  }
});

Deno.test("a schedule that is asked for goes before a plug-in's, that before the model's", () => {
  const config = parseSchedulerConfig({ num_train_timesteps: 100 });
  const first = (scheduler: Scheduler, schedule?: string) =>
    planRun(config, { scheduler, steps: 2, schedule }).schedule.betas[50];
  const { linear, cosine, ddpm } = schedulers;
  assertEquals(first(ddpm), first(linear));
  assert(first(cosine) !== first(linear));
  assertEquals(first(cosine, "linear"), first(linear));
  assertEquals(first(linear, "cosine"), first(cosine));
});

Deno.test("a failure ends the run for every image, and asks no more", async () => {
  const network = fakeNetwork({
    before({ t }) {
      if (t.includes(0)) throw new Error("device lost");
    },
  });
  const uneven: Scheduler = {
    name: "uneven",
    api: 1,
    async *sampler(run) {
      for (const t of run.timesteps) {
        const { x_0 } = await run.denoise(run.x, run.x[0] > 0 && t === 500 ? 0 : 400);
        yield { t, x: run.x, x_0 };
      }
      return run.x;
    },
  };
  const seeds = [0, 1, 2, 3, 4, 5];
  const frames = sample(network, { seeds, scheduler: uneven, steps: 100, maxBatch: 6 });
  await assertRejects(() => Array.fromAsync(frames), Error, "device lost");
  const asked = network.asked.length;
  await settled();
  assertEquals(network.asked.length, asked);
  assert(asked < 60, `${asked}`);
});

Deno.test("a sampler that yields too many frames, or returns too early, is told so by name", async () => {
  const yielding = (more: number): Scheduler => ({
    name: "odd",
    api: 1,
    async *sampler(run) {
      for (let i = 0; i < run.timesteps.length + more; i++) {
        const { x_0 } = await run.denoise(run.x, 1);
        yield { t: 1, x: run.x, x_0 };
      }
      return run.x;
    },
  });
  const made = (more: number) => () =>
    Array.fromAsync(sample(fakeNetwork(), { seeds: [1], steps: 3, scheduler: yielding(more) }));
  assertEquals((await made(0)()).length, 3);
  await assertRejects(
    made(1),
    InputError,
    'scheduler "odd": expected a frame for each of 3 timesteps, found more',
  );
  await assertRejects(made(-1), InputError, "found 2");
});

Deno.test("the work of a run is counted as it is asked: gradients are two, guidance and a second class one more each", async () => {
  const config = parseSchedulerConfig({});
  const of = (name: string, options = {}) =>
    planRun(config, { scheduler: { ...schedulers, ...restorers }[name], steps: 4, options });
  assertEquals(await countEvaluations(of("ddim")), 4);
  assertEquals(await countEvaluations(of("pigdm", { from: 0 })), 12);
  assertEquals(
    await countEvaluations(of("ddim"), { guidance: 2, mix: { label: 1, share: 0.5 } }),
    12,
  );
  assertEquals(await countEvaluations(of("repaint"), { guidance: 1 }), 4);
  assertEquals(await countEvaluations(of("ddrm"), undefined, Infinity, 0.5), 4);
});

Deno.test("plug-ins' names are plain, and what they need are names", () => {
  const check = (change: Record<string, unknown>) => () =>
    checkScheduler({ default: { name: "a", api: 1, ...change } }, "mine");
  for (const name of ["a", "a-b_c+2", "z9"]) check({ name })();
  for (const name of ["", "9", "-a", "a b", "a/b", "A", "é", 3]) {
    assertThrows(check({ name }), InputError, "expected name: lower-case");
  }
  check({ needs: [] })();
  check({ needs: ["measurement", "vjp"] })();
  for (const needs of [[3], "measurement", {}, [["a"]]]) {
    assertThrows(check({ needs }), InputError, "needs: a list of names");
  }
  for (const description of [3, ["a"]]) {
    assertThrows(check({ description }), InputError, "description: a line of text");
  }
});

Deno.test("what is prepared for a run is checked against what the weights were taught", () => {
  const config = parseSchedulerConfig({ timestep_spacing: "trailing" });
  const network = { ...taught(4), scheduler: config, recommended: { scheduler: "ddim", steps: 4 } };
  assertEquals([...prepare(network, {}).plan.timesteps], [999, 749, 499, 249]);
  assertThrows(() => prepare(network, { steps: 5 }), FieldError, "steps");
  assertThrows(() => prepare(network, { guidance: 3 }), FieldError, "guidance");
});
