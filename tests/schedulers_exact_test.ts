/** Where a sampler's path is known exactly: it is followed from the first step to the last. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  type Frame,
  makeSchedule,
  parseSchedulerConfig,
  scheduleFor,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

const solvers: [name: string, options: Record<string, boolean | number | string>][] = [
  ["ddim", { clipped_eps: "always" }],
  ["dpmpp", {}],
  ["heun", {}],
  ["ipndm", {}],
  ["ipndm", { order: 2 }],
  ["ipndm", { order: 3 }],
  ["unipc", {}],
];

/** Each frame's x of a run whose network always says one picture. */
async function towards(
  scheduler: Scheduler,
  keys: Record<string, unknown>,
  setting: { options?: Record<string, boolean | number | string>; said?: number } = {},
) {
  const config = parseSchedulerConfig({ timestep_spacing: "trailing", ...keys });
  const { options, said = 0.25 } = setting;
  const { run } = makeRun(scheduler, {
    config,
    steps: 8,
    size: 3,
    options,
    schedule: scheduleFor(config),
  });
  const { alpha_bar } = run.schedule;
  const answer = {
    ...run,
    denoise: (x: Float32Array, t: number) => {
      const a = alpha_bar(t);
      const eps = x.map((v) => (v - Math.sqrt(a) * said) / Math.sqrt(1 - a));
      return Promise.resolve({ x_0: new Float32Array(3).fill(said), eps });
    },
  };
  return { run, frames: (await drain(scheduler, answer)).frames };
}

for (const [name, options] of solvers) {
  for (const rescale_betas_zero_snr of [false, true]) {
    const from = rescale_betas_zero_snr ? "pure noise" : "the schedule's end";
    Deno.test(`${name} ${JSON.stringify(options)} goes straight from ${from} to the one picture there is`, async () => {
      // The network's picture is clipped at every evaluation: 3 is 1.
      for (const said of [0.25, 3]) {
        const keys = { rescale_betas_zero_snr, prediction_type: "v_prediction" };
        const { run, frames } = await towards(schedulers[name], keys, { options, said });
        const c = Math.min(1, said);
        const { timesteps, schedule: { alpha_bar } } = run;
        const a_T = alpha_bar(timesteps[0]);
        for (const [i, { x }] of frames.entries()) {
          const a = alpha_bar(timesteps[i + 1] ?? -1);
          x.forEach((v, p) => {
            const eps = (run.x[p] - Math.sqrt(a_T) * c) / Math.sqrt(1 - a_T);
            assertAlmostEquals(v, Math.sqrt(a) * c + Math.sqrt(1 - a) * eps, 2e-5, `step ${i}`);
          });
        }
      }
    });
  }
}

Deno.test("what a step shows of the finished picture is what the network said, clipped", async () => {
  for (const name of Object.keys(schedulers)) {
    const { frames } = await towards(schedulers[name], {}, { said: 3 });
    for (const { x_0 } of frames) assertEquals([...x_0], [1, 1, 1], name);
  }
});

Deno.test("linear and cosine are schedules of their own, linear with the model's ends", () => {
  const config = parseSchedulerConfig({
    beta_schedule: "sigmoid",
    beta_start: 0.01,
    beta_end: 0.5,
    num_train_timesteps: 3,
  });
  const linear = makeSchedule(schedulers.linear.betas!(3, config));
  assertEquals([...linear.betas], [0.01, 0.255, 0.5].map(Math.fround));
  const cosine = schedulers.cosine.betas!(3, config);
  assertEquals([...cosine], [...scheduleFor(config, "cosine").betas]);
  for (const name of ["ddpm", "ddim", "dpmpp", "heun", "ipndm", "unipc"]) {
    assertEquals(schedulers[name].betas, undefined, `${name} runs under the model's own`);
  }
});

Deno.test("noise is drawn for every step, or for none, or, of DDPM, for all but the last", async () => {
  const draws = async (
    name: string,
    options: Record<string, number> = {},
    timesteps = [900, 500, 0],
  ) => {
    const { run, asked } = makeRun(schedulers[name], {
      timesteps,
      size: 2,
      options,
    });
    await drain(schedulers[name], run);
    return asked.noise;
  };
  assertEquals([await draws("ddim"), await draws("ddim", { eta: 0.1 })], [0, 3]);
  for (const name of ["dpmpp", "heun", "ipndm", "unipc"]) assertEquals(await draws(name), 0);
  for (const name of ["ddpm", "linear", "cosine"]) {
    assertEquals(await draws(name), 2);
    // The last is the one at t = 0, and no other.
    for (const last of [1, 0.5, 1e-9]) assertEquals(await draws(name, {}, [900, last]), 2);
  }
});

Deno.test("with fresh noise alone a step from pure noise leaves no number out, wherever it leads", async () => {
  const config = parseSchedulerConfig({
    rescale_betas_zero_snr: true,
    prediction_type: "v_prediction",
  });
  const schedule = scheduleFor(config);
  const { ddim } = schedulers, { pigdm, sdedit } = restorers;
  for (const scheduler of [ddim, sdedit, pigdm]) {
    for (let s = 0; s < 999; s += 9) {
      const { run } = makeRun(scheduler, {
        ...{ config, schedule, timesteps: [999, s], size: 1 },
        options: { eta: 1 },
      });
      const { value } = await scheduler.sampler!(run).next();
      assertEquals((value as Frame).x.every(Number.isFinite), true, `${scheduler.name} to ${s}`);
    }
  }
});
