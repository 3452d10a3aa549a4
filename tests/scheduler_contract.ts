/**
 * What every scheduler plug-in must do, as one suite over any `Scheduler`. The network is exact: for
 * pixels from N(mean, deviation²) the best guess of eps and x_0 is known in closed form, so a sampler
 * that follows its equations ends with that distribution.
 *
 * ```ts ignore
 * import mine from "./mine.ts";
 * import { schedulerContract } from "…/tests/scheduler_contract.ts";
 * schedulerContract(mine);
 * ```
 */
import { assert, assertAlmostEquals, assertEquals } from "./assert.ts";
import {
  ancestral,
  configTimesteps,
  createGenerator,
  type Denoised,
  type Frame,
  makeClip,
  makeSchedule,
  type Measurement,
  parseSchedulerConfig,
  remap,
  requireTimesteps,
  type Run,
  type Schedule,
  scheduleFor,
  type Scheduler,
  type SchedulerConfig,
  type SchedulerOptions,
  type Vector,
} from "../src/diffusion/mod.ts";

/** What a plug-in promises beyond the contract. */
export interface Expectations {
  /** Draws of noise after x_T for these timesteps; if left out, only that the number is fixed. */
  draws?(timesteps: readonly number[], options: SchedulerOptions): number;
  /** Evaluations of the network for n timesteps; n if left out. */
  evaluations?(n: number): number;
  /** False for a sampler known not to end with the data's moments, even under an exact network. */
  exact?: boolean;
  /** Option values to run the suite under; the defaults if left out. */
  options?: SchedulerOptions;
}

const mean = 0.2, deviation = 0.15;

/** The exact answer for x_0 ~ N(mean, deviation²) in each pixel. */
export function gaussianOracle(x_t: Float32Array, alpha_bar: number): Denoised {
  const variance = alpha_bar * deviation ** 2 + 1 - alpha_bar;
  const centred = x_t.map((x) => x - Math.sqrt(alpha_bar) * mean);
  return {
    eps: centred.map((x) => x * Math.sqrt(1 - alpha_bar) / variance),
    x_0: centred.map((x) => mean + x * Math.sqrt(alpha_bar) * deviation ** 2 / variance),
  };
}

/** Where the probability-flow ODE takes x from one noise level to another under the oracle. */
export function gaussianFlow(x: Float32Array, alpha_bar: number, to: number): Float32Array {
  const spread = (a: number) => Math.sqrt(a * deviation ** 2 + 1 - a);
  const stretch = spread(to) / spread(alpha_bar);
  return x.map((v) => Math.sqrt(to) * mean + stretch * (v - Math.sqrt(alpha_bar) * mean));
}

/** The defaults of a plug-in's options, with some of them replaced. */
export function optionsOf(scheduler: Scheduler, given: SchedulerOptions = {}): SchedulerOptions {
  const defaults = Object.entries(scheduler.options ?? {}).map(([name, o]) => [name, o.default]);
  return { ...Object.fromEntries(defaults), ...given };
}

/** A measurement that says nothing: what restores it must draw from the prior. */
function blindMeasurement(size: number): Measurement {
  const shape = [1, 1, size] as const;
  const same = (x: Vector) => Float64Array.from(x);
  const nothing = (x: Vector) => new Float64Array(x.length);
  return {
    operator: {
      name: "nothing",
      shape,
      measured: shape,
      s: new Float64Array(size),
      apply: nothing,
      Vt: same,
      V: same,
      Ut: nothing,
      U: nothing,
    },
    y: new Float32Array(size),
    sigma_y: 0,
  };
}

/** How `makeRun` sets a run up; everything has a default. */
export interface Setting {
  config?: SchedulerConfig;
  schedule?: Schedule;
  timesteps?: readonly number[];
  options?: SchedulerOptions;
  steps?: number;
  seed?: number;
  size?: number;
}

/** A run with the oracle for a network, and counters of what the sampler asked for. */
export function makeRun(scheduler: Scheduler, setting: Setting = {}) {
  const config = setting.config ?? parseSchedulerConfig({});
  const { seed = 0, size = 64, steps = 10 } = setting;
  const options = optionsOf(scheduler, setting.options);
  const own = scheduler.betas?.(config.num_train_timesteps, config);
  const schedule = setting.schedule ?? (own ? makeSchedule(own) : scheduleFor(config));
  const timesteps = setting.timesteps ??
    scheduler.timesteps?.(steps, schedule, config, options) ??
    configTimesteps(steps, schedule.T, config);
  const generator = createGenerator(seed);
  const asked = { noise: 0, denoise: 0 };
  const run: Run = {
    x: generator.randn(size),
    timesteps,
    schedule,
    config,
    options,
    guided: false,
    denoise(x_t, t, alpha_bar = schedule.alpha_bar(t)) {
      asked.denoise++;
      assert(t >= 0 && t <= schedule.T - 1, `denoise was asked about t = ${t}`);
      assert(alpha_bar >= 0 && alpha_bar < 1, `denoise was asked about ᾱ = ${alpha_bar}`);
      assertEquals(x_t.length, size, "the length of x_t");
      assert(x_t.every(Number.isFinite), `x_t at t = ${t} is not finite`);
      return Promise.resolve({
        ...gaussianOracle(x_t, alpha_bar),
        variance: new Float32Array(size),
      });
    },
    inputs: scheduler.needs?.includes("measurement") ? { measurement: blindMeasurement(size) } : {},
    clip: makeClip(config),
    noise() {
      asked.noise++;
      return generator.randn(size);
    },
    ...(scheduler.needs?.includes("vjp") && {
      // ε̂ is linear in x_t, each pixel apart.
      vjp(_x_t, t, u) {
        const alpha_bar = schedule.alpha_bar(t);
        const slope = Math.sqrt(1 - alpha_bar) / (alpha_bar * deviation ** 2 + 1 - alpha_bar);
        return Promise.resolve(u.map((v) => v * slope));
      },
    }),
  };
  return { run, asked };
}

/** Runs a plug-in's sampler, or the default one, to its end. */
export async function drain(scheduler: Scheduler, run: Run) {
  const sampler = scheduler.sampler ? scheduler.sampler(run) : ancestral(run);
  const frames: Frame[] = [];
  for (;;) {
    const { done, value } = await sampler.next();
    if (done) return { frames, x: value };
    frames.push(value);
  }
}

function moments(x: Float32Array) {
  const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
  const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
  return { mean, deviation: Math.sqrt(variance) };
}

function assertDataMoments(x: Float32Array, tolerance: number, what: string, exact: boolean) {
  assert(x.every(Number.isFinite), `${what}: finite`);
  if (!exact) return;
  const found = moments(x);
  assertAlmostEquals(found.mean, mean, tolerance, `${what}: mean ${found.mean}, not ${mean}`);
  assertAlmostEquals(
    found.deviation,
    deviation,
    tolerance,
    `${what}: deviation ${found.deviation}, not ${deviation}`,
  );
}

/**
 * Registers the suite's tests for one plug-in.
 * @param register `Deno.test`, or another runner's function of a name and a body
 */
export function schedulerContract(
  scheduler: Scheduler,
  expected: Expectations = {},
  register: (name: string, run: () => void | Promise<void>) => void = Deno.test,
) {
  const under = { options: expected.options };
  const values = Object.entries(expected.options ?? {}).map(([name, v]) => `${name}=${v}`);
  const name = [scheduler.name, ...values].join(" ");
  const { exact = true } = expected;
  const test = (what: string, run: () => void | Promise<void>) => register(`${name}: ${what}`, run);

  test("names itself and its options", () => {
    assertEquals(scheduler.api, 1);
    assert(/^[a-z][a-z0-9_+-]*$/.test(scheduler.name), "a name for a command line");
    for (const [key, option] of Object.entries(scheduler.options ?? {})) {
      const type = option.type === "integer" ? "number" : option.type;
      assertEquals(typeof option.default, type, `the default of ${key}`);
      assert(option.description.length > 0, `${key} is described`);
      if (typeof option.default === "number") {
        assert(option.default >= (option.minimum ?? -Infinity), `${key}: default in range`);
        assert(option.default <= (option.maximum ?? Infinity), `${key}: default in range`);
        assert(option.type !== "integer" || Number.isInteger(option.default), `${key}: integer`);
      }
    }
  });

  test("its βs make a schedule for any T, the same each time", () => {
    const config = parseSchedulerConfig({});
    for (const T of [2, 100, 1000]) {
      const betas = scheduler.betas?.(T, config);
      if (!betas) return;
      assertEquals(makeSchedule(betas).T, T);
      assertEquals(scheduler.betas!(T, config), betas);
    }
  });

  test("its timesteps descend inside the range, as many as asked for", () => {
    for (const timestep_spacing of ["leading", "linspace", "trailing", null]) {
      for (const num_train_timesteps of [100, 1000]) {
        const config = parseSchedulerConfig({ timestep_spacing, num_train_timesteps });
        for (const steps of [1, 2, 5, 16, 50]) {
          const { timesteps } = makeRun(scheduler, { config, steps, ...under }).run;
          requireTimesteps(timesteps, num_train_timesteps);
          assertEquals(timesteps.length, steps);
        }
      }
    }
  });

  test("a frame a timestep, finite, the last one's x being the result", async () => {
    for (const steps of [1, 2, 3, 10]) {
      const { run } = makeRun(scheduler, { steps, ...under });
      const { frames, x } = await drain(scheduler, run);
      assertEquals(frames.map((frame) => frame.t), [...run.timesteps]);
      assertEquals(x, frames.at(-1)!.x);
      for (const frame of frames) {
        assertEquals(frame.x.length, run.x.length);
        assertEquals(frame.x_0.length, run.x.length);
        assert(frame.x.every(Number.isFinite) && frame.x_0.every(Number.isFinite));
      }
    }
  });

  test("nothing it was given or has given is changed afterwards", async () => {
    const { run } = makeRun(scheduler, under);
    const seen: [array: Float32Array, copy: Float32Array][] = [[run.x, run.x.slice()]];
    const keep = (...arrays: (Float32Array | undefined)[]) => {
      for (const array of arrays) if (array) seen.push([array, array.slice()]);
    };
    const watched: Run = {
      ...run,
      async denoise(x_t, t, alpha_bar) {
        keep(x_t);
        const denoised = await run.denoise(x_t, t, alpha_bar);
        keep(denoised.eps, denoised.x_0, denoised.variance);
        return denoised;
      },
      clip(x_0) {
        const clipped = run.clip(x_0);
        keep(clipped);
        return clipped;
      },
      noise() {
        const noise = run.noise();
        keep(noise);
        return noise;
      },
    };
    const sampler = scheduler.sampler ? scheduler.sampler(watched) : ancestral(watched);
    for await (const frame of sampler) keep(frame.x, frame.x_0);
    for (const [array, copy] of seen) assertEquals(array, copy);
  });

  test("draws noise and asks the network as often as it says, whatever the picture", async () => {
    for (const timesteps of [[900, 500, 100, 0], [900, 500, 100], [700.5, 20.25]]) {
      const counts = [];
      for (const seed of [1, 2, 3, 4, 5, 6]) {
        const { run, asked } = makeRun(scheduler, { timesteps, seed, ...under });
        await drain(scheduler, run);
        counts.push(asked);
      }
      for (const count of counts) assertEquals(count, counts[0]);
      const { noise, denoise } = counts[0];
      const options = optionsOf(scheduler, under.options);
      if (expected.draws) assertEquals(noise, expected.draws(timesteps, options));
      const n = timesteps.length;
      assertEquals(denoise, expected.evaluations ? expected.evaluations(n) : n);
    }
  });

  test("the same seed gives the same picture, another seed another", async () => {
    const pictures = await Promise.all(
      [5, 5, 6].map(async (seed) =>
        (await drain(scheduler, makeRun(scheduler, { seed, ...under }).run)).x
      ),
    );
    assertEquals(pictures[0], pictures[1]);
    assert(pictures[0].some((value, i) => value !== pictures[2][i]));
  });

  test("many images at once, answered late and out of order, are what each is alone", async () => {
    const seeds = [0, 1, 2, 3, 4];
    const alone = [];
    for (const seed of seeds) {
      alone.push((await drain(scheduler, makeRun(scheduler, { seed, ...under }).run)).x);
    }
    let waiting: (() => void)[] = [];
    let running = seeds.length;
    const answer = () => {
      if (waiting.length < running) return;
      const ready = waiting.reverse();
      waiting = [];
      for (const resolve of ready) resolve();
    };
    const together = await Promise.all(seeds.map(async (seed) => {
      const { run } = makeRun(scheduler, { seed, ...under });
      const late: Run = {
        ...run,
        async denoise(x_t, t, alpha_bar) {
          await new Promise<void>((resolve) => {
            waiting.push(resolve);
            answer();
          });
          return run.denoise(x_t, t, alpha_bar);
        },
      };
      const { x } = await drain(scheduler, late);
      running--;
      answer();
      return x;
    }));
    assertEquals(together, alone);
  });

  test("ends with the data's mean and deviation", async () => {
    const config = parseSchedulerConfig({ timestep_spacing: "trailing" });
    const { run } = makeRun(scheduler, { config, steps: 250, size: 4096, ...under });
    assertDataMoments((await drain(scheduler, run)).x, 0.015, "250 steps", exact);
  });

  test("also under another schedule", async () => {
    // "linear" is the model's own: where the sampler has none either, that run is the one above.
    const swaps = [...(scheduler.betas ? ["linear"] : []), "cosine", "scaled_linear"];
    for (const swap of swaps) {
      const config = parseSchedulerConfig({ timestep_spacing: "trailing" });
      const fit = remap(scheduleFor(config, swap), scheduleFor(config));
      const { schedule } = fit;
      const { run: all } = makeRun(scheduler, { config, schedule, steps: 250, ...under });
      const timesteps = fit.timesteps(all.timesteps);
      const { run } = makeRun(scheduler, { config, schedule, timesteps, size: 4096, ...under });
      assertDataMoments((await drain(scheduler, run)).x, 0.02, swap, exact);
    }
  });

  test("also at timesteps between the whole ones", async () => {
    const timesteps = Array.from({ length: 250 }, (_, i) => 998.5 - i * 3.99);
    const { run } = makeRun(scheduler, { timesteps, size: 4096, ...under });
    const { frames, x } = await drain(scheduler, run);
    assertEquals(frames.map((frame) => frame.t), timesteps);
    assertDataMoments(x, 0.015, "fractional timesteps", exact);
  });

  test("starts at zero terminal SNR without a NaN", async () => {
    const config = parseSchedulerConfig({
      rescale_betas_zero_snr: true,
      timestep_spacing: "trailing",
      prediction_type: "v_prediction",
    });
    const { run } = makeRun(scheduler, {
      config,
      schedule: scheduleFor(config),
      steps: 250,
      size: 4096,
      ...under,
    });
    assertDataMoments((await drain(scheduler, run)).x, 0.02, "zero SNR", exact);
  });

  test("can be stopped between two frames", async () => {
    const { run } = makeRun(scheduler, under);
    const sampler = scheduler.sampler ? scheduler.sampler(run) : ancestral(run);
    await sampler.next();
    await sampler.return(run.x);
    assertEquals((await sampler.next()).done, true);
  });

  test("a network that fails makes it fail", async () => {
    const { run } = makeRun(scheduler, under);
    const broken: Run = { ...run, denoise: () => Promise.reject(new Error("no network")) };
    const message = await drain(scheduler, broken).then(() => "none", (error) => error.message);
    assertEquals(message, "no network");
  });
}
