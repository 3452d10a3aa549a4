import { assert, assertEquals } from "@std/assert";
import {
  configTimesteps,
  createGenerator,
  parseSchedulerConfig,
  type Run,
  scheduleFor,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import {
  assertNear,
  finish,
  goldenConfig,
  goldenRun,
  randn,
  readGolden,
  samplerOf,
} from "./diffusion_golden.ts";

const { ddpm, ddim, dpmpp } = schedulers;
const byClass: Record<string, Scheduler> = {
  DDPMScheduler: ddpm,
  DDIMScheduler: ddim,
  DPMSolverMultistepScheduler: dpmpp,
};
const bySampler: Record<string, Scheduler> = { ddpm, ddim, dpmpp_2m: dpmpp };

interface Step {
  config: Record<string, unknown>;
  num_inference_steps: number;
  eta?: number | null;
  t: number;
  noise_seed: number;
  prev_sample: number[];
  pred_original_sample: number[];
}

/**
 * One step of the sampler out of a whole run: earlier steps are given a network and noise that land
 * x exactly on x_t.
 */
async function stepAt(
  scheduler: Scheduler,
  { config: json, num_inference_steps: n, eta, t: target, noise_seed }: Step,
  x_t: Float32Array,
  output: Float32Array,
) {
  const config = goldenConfig(json);
  const noise = createGenerator(noise_seed);
  const full = goldenRun(scheduler, config, n, {
    x: x_t,
    options: { eta: eta ?? 0 },
    output: () => output,
    noise: () => noise.randn(x_t.length),
  });
  const place = full.timesteps.indexOf(target);
  assert(place >= 0, `${target} is not among the timesteps`);
  const { timesteps, schedule } = full;
  const alphaBarAfter = (t: number) =>
    scheduler === ddim
      ? schedule.alpha_bar(t - Math.floor(schedule.T / n))
      : schedule.alpha_bar(timesteps[timesteps.indexOf(t) + 1]);
  // ancestral: the step before is the first; DDIM's stride needs the whole list.
  const kept = scheduler === ddim ? timesteps : timesteps.slice(place);
  let now = kept[0];
  const run: Run = {
    ...full,
    timesteps: kept,
    denoise: (x, t) => {
      now = t;
      if (t === target) return full.denoise(x, t);
      const root = Math.sqrt(alphaBarAfter(t));
      return Promise.resolve({
        x_0: x_t.map((value) => value / root),
        eps: new Float32Array(x_t.length),
      });
    },
    inputs: {},
    clip: (x_0) => now === target ? full.clip(x_0) : x_0.slice(),
    noise: () => now === target ? full.noise() : new Float32Array(x_t.length),
  };
  for await (const frame of samplerOf(scheduler)(run)) if (frame.t === target) return frame;
  throw new Error(`no frame at ${target}`);
}

Deno.test("every single DDPM and DDIM step of schedulers.json", async () => {
  const golden = await readGolden<
    { steps: (Step & Record<string, unknown>)[]; x_t: number[]; model_output: number[] }
  >("schedulers");
  assertEquals(golden.steps.length, 168);
  for (const step of golden.steps) {
    const config = { ...step, beta_schedule: step.schedule };
    const frame = await stepAt(
      bySampler[step.sampler as string],
      { ...step, config },
      Float32Array.from(golden.x_t),
      Float32Array.from(golden.model_output),
    );
    const { prev_sample, pred_original_sample, ...name } = step;
    const what = JSON.stringify(name);
    assertNear(frame.x, prev_sample, 1e-5, what);
    assertNear(frame.x_0, pred_original_sample, 1e-5, what);
  }
});

Deno.test("every single step of more.json: spacings, offsets, clips, variances, predictions", async () => {
  const golden = await readGolden<{
    steps: (Step & { class: string; timesteps_head: number[]; timesteps_tail: number[] })[];
    x_t: number[];
    model_output: number[];
    model_output_2c: number[];
  }>("more");
  assertEquals(golden.steps.length, 66);
  for (const step of golden.steps) {
    const { prev_sample, pred_original_sample, ...name } = step;
    const what = JSON.stringify(name);
    const scheduler = byClass[step.class];
    const config = goldenConfig(step.config);
    const timesteps = configTimesteps(
      step.num_inference_steps,
      config.num_train_timesteps,
      config,
    );
    assertEquals(timesteps.slice(0, step.timesteps_head.length), step.timesteps_head, what);
    assertEquals(timesteps.slice(-step.timesteps_tail.length), step.timesteps_tail, what);
    const output = config.variance_type === "learned_range"
      ? golden.model_output_2c
      : golden.model_output;
    const frame = await stepAt(
      scheduler,
      step,
      Float32Array.from(golden.x_t),
      Float32Array.from(output),
    );
    assertNear(frame.x, prev_sample, 1e-5, what);
    assertNear(frame.x_0, pred_original_sample, 1e-5, what);
  }
});

Deno.test("every list of timesteps of more.json, but for diffusers' spurious -1", async () => {
  const { timesteps } = await readGolden<{
    timesteps: { class: string; timestep_spacing: string; n: number; timesteps: number[] }[];
  }>("more");
  assertEquals(timesteps.length, 63);
  for (const { class: name, timestep_spacing, n, timesteps: expected } of timesteps) {
    const config = parseSchedulerConfig({ timestep_spacing });
    const schedule = scheduleFor(config);
    const found = byClass[name].timesteps?.(n, schedule, config, {}) ??
      configTimesteps(n, schedule.T, config);
    assertEquals(found, expected.filter((t) => t !== -1), `${name} ${timestep_spacing} n ${n}`);
    assertEquals(found.length, n);
  }
});

interface Loop {
  config: Record<string, unknown>;
  num_inference_steps: number;
  eta?: number;
  init_seed: number;
  noise_seed: number;
  timesteps?: number[];
  out: number[];
}

async function assertLoop(scheduler: Scheduler, loop: Loop) {
  const config = goldenConfig(loop.config);
  const size = 3 * 8 * 8;
  const noise = createGenerator(loop.noise_seed);
  const run = goldenRun(scheduler, config, loop.num_inference_steps, {
    x: randn(loop.init_seed, size),
    options: { eta: loop.eta ?? 0, clip: false },
    output: (x, t) => x.map((value) => Math.fround(value * t) / (t + 1)),
    noise: () => noise.randn(size),
  });
  const { out, ...name } = loop;
  const what = `${scheduler.name} ${JSON.stringify(name)}`;
  if (loop.timesteps) {
    assertEquals(run.timesteps.slice(0, loop.timesteps.length), loop.timesteps, what);
  }
  const { frames, x } = await finish(samplerOf(scheduler)(run));
  assertEquals(frames.map((frame) => frame.t), [...run.timesteps], what);
  assertNear(x, out, 1e-5, what);
}

Deno.test("every whole run of loops.json", async () => {
  const { loops } = await readGolden<{ loops: (Loop & { sampler: string })[] }>("loops");
  assertEquals(loops.length, 10);
  for (const loop of loops) await assertLoop(bySampler[loop.sampler], loop);
});

Deno.test("every whole run of more.json: v and x_0 predictions", async () => {
  const { loops } = await readGolden<{ loops: (Loop & { class: string })[] }>("more");
  assertEquals(loops.length, 12);
  for (const loop of loops) await assertLoop(byClass[loop.class], loop);
});
