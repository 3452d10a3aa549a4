/** Steps of the restoring samplers by hand, for a network that always sees the same picture. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { schedulers } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import {
  type Measurement,
  parseSchedulerConfig,
  type Run,
  type SchedulerOptions,
  sigmaOf,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { denoising } from "../src/restoration/operators/denoising.ts";
import { masked } from "../src/restoration/operators/inpainting.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

const { daps, ddnm, ddrm, diffpir, dps, pigdm, repaint } = restorers;

/** Four pixels of which the last two are hidden; what was seen is far from what the network sees. */
const shape = [1, 1, 4] as const;
const operator = masked(denoising(shape), Uint8Array.of(1, 1, 0, 0));
const Y = Float32Array.of(0.6, -0.4, 0, 0);
const measured = (sigma_y: number): Measurement => ({ operator, y: Y, sigma_y });
const ESTIMATE = Float32Array.of(0.1, 0.2, 0.3, -0.2);
const unclipped = parseSchedulerConfig({ clip_sample: false });

interface Asked {
  readonly timesteps: readonly number[];
  readonly options?: SchedulerOptions;
  readonly sigma_y?: number;
}

/** A run whose network sees {@link ESTIMATE}, and whose gradient of ε is that of noise alone. */
async function restored(
  scheduler: typeof ddrm,
  { timesteps, options, sigma_y = 0 }: Asked,
) {
  const { run } = makeRun(scheduler, { config: unclipped, timesteps, options, size: 4 });
  const { schedule } = run;
  const gradients: number[] = [];
  const own: Run = {
    ...run,
    inputs: { measurement: measured(sigma_y) },
    denoise(x_t, t, alpha_bar = schedule.alpha_bar(t)) {
      const [signal, sigma] = [Math.sqrt(alpha_bar), Math.sqrt(1 - alpha_bar)];
      return Promise.resolve({
        eps: x_t.map((x, i) => (x - signal * ESTIMATE[i]) / sigma),
        x_0: ESTIMATE.slice(),
        variance: new Float32Array(4),
      });
    },
    vjp(_x_t, t, u) {
      gradients.push(t);
      return Promise.resolve(u.map((v) => v / Math.sqrt(1 - schedule.alpha_bar(t)) / 2));
    },
  };
  return { ...await drain(scheduler, own), start: run.x, schedule, gradients };
}

const timesteps = [900, 500, 100];

for (const [name, scheduler] of Object.entries({ ddnm, ddrm, diffpir, dps, pigdm, repaint })) {
  Deno.test(`${name}: data without noise are in the last picture as they are`, async () => {
    const { x } = await restored(scheduler, { timesteps });
    for (const i of [0, 1]) assertAlmostEquals(x[i], Y[i], 1e-5);
  });
}

for (const [name, scheduler] of Object.entries({ ddnm, ddrm, diffpir, dps, pigdm })) {
  Deno.test(`${name}: noise in the data is not copied into the last picture`, async () => {
    const { x } = await restored(scheduler, { timesteps, sigma_y: 0.3 });
    for (const i of [0, 1]) assert(Math.abs(x[i] - Y[i]) > 0.05, `${x[i]} is ${Y[i]}`);
  });
}

Deno.test("dps and pigdm put data without noise into the last picture, into none on the way", async () => {
  for (const scheduler of [dps, pigdm]) {
    // Without gradients the data are in nothing else.
    const [exact, noisy] = await Promise.all(
      [0, 0.3].map((sigma_y) => restored(scheduler, { timesteps, sigma_y, options: { from: 1 } })),
    );
    for (const i of [0, 1]) assertEquals(exact.frames[i].x, noisy.frames[i].x, scheduler.name);
    assert(exact.x[0] !== noisy.x[0]);
  }
});

Deno.test("repaint refuses measurements with noise, however little", async () => {
  for (const sigma_y of [1e-3, 0.1, 2]) {
    await assertRejects(
      () => restored(repaint, { timesteps, sigma_y }),
      InputError,
      "takes measurements without noise",
    );
  }
});

for (const [name, scheduler] of Object.entries({ pigdm, dps })) {
  Deno.test(`${name}: there is a gradient where ᾱ is at least from, and nowhere else`, async () => {
    const { schedule } = await restored(scheduler, { timesteps });
    const visited = async (from: number) =>
      (await restored(scheduler, { timesteps, sigma_y: 0.3, options: { from } })).gradients;
    assertEquals(await visited(0), timesteps);
    assertEquals(await visited(1), []);
    const [first, second] = timesteps.map((t) => schedule.alpha_bar(t));
    assertEquals(await visited(first), timesteps);
    assertEquals(await visited((first + second) / 2), timesteps.slice(1));
    assertEquals(await visited(second), timesteps.slice(1));
  });
}

Deno.test("diffpir brings what was seen to the data by rho_t = lambda sigma_y²/sigma_t² (eq. 12)", async () => {
  const options = { lambda: 7, zeta: 0 }, sigma_y = 0.3;
  const { frames, start, schedule } = await restored(diffpir, { timesteps, options, sigma_y });
  const [t, s] = timesteps;
  const [alpha_bar, alpha_bar_s] = [schedule.alpha_bar(t), schedule.alpha_bar(s)];
  const rho = options.lambda * (sigma_y / sigmaOf(alpha_bar)) ** 2;
  for (const i of [0, 1, 2, 3]) {
    const x_0 = i < 2 ? (Y[i] + rho * ESTIMATE[i]) / (1 + rho) : ESTIMATE[i];
    assertAlmostEquals(frames[0].x_0[i], x_0, 1e-6);
    const eps = (start[i] - Math.sqrt(alpha_bar) * x_0) / Math.sqrt(1 - alpha_bar);
    const expected = Math.sqrt(alpha_bar_s) * x_0 + Math.sqrt(1 - alpha_bar_s) * eps;
    assertAlmostEquals(frames[0].x[i], expected, 1e-5);
  }
});

Deno.test("dps goes along the gradient of the residual's norm, zeta·√m/(n s_1) long, in what was seen alone", async () => {
  const step = (zeta: number) =>
    restored(dps, { timesteps, sigma_y: 0.3, options: { zeta, from: 0 } });
  const [none, one, three] = await Promise.all([0, 1, 3].map(step));
  const r = [0, 1].map((i) => Y[i] - ESTIMATE[i]);
  const length = Math.hypot(...r);
  const alpha_bar = none.schedule.alpha_bar(timesteps[0]), signal = Math.sqrt(alpha_bar);
  // Of a mask, s_1 = 1.
  const unit = Math.sqrt(r.length) / timesteps.length;
  // ∂x̂_0/∂x_t = (1 − √(1−ᾱ)·∂ε/∂x_t)/√ᾱ = 1/2√ᾱ here.
  for (const i of [0, 1, 2, 3]) {
    const along = i < 2 ? unit * r[i] / length / (2 * signal) : 0;
    assertAlmostEquals(one.frames[0].x[i] - none.frames[0].x[i], along, 1e-4);
    assertAlmostEquals(three.frames[0].x[i] - none.frames[0].x[i], 3 * along, 1e-4);
  }
});

/** A run that is shown nothing and whose network always sees the picture `said`. */
async function blind(name: keyof typeof restorers, said: number, asked: Partial<Asked> = {}) {
  const scheduler = restorers[name];
  const { options, timesteps } = asked;
  const { run, asked: counts } = makeRun(scheduler, { timesteps, options, size: 4, steps: 3 });
  const { alpha_bar } = run.schedule;
  const levels: number[] = [];
  const answer: Run = {
    ...run,
    denoise(x_t, t, level = alpha_bar(t)) {
      levels.push(sigmaOf(level));
      const eps = x_t.map((x) => (x - Math.sqrt(level) * said) / Math.sqrt(1 - level));
      return Promise.resolve({
        eps,
        x_0: new Float32Array(4).fill(said),
        variance: new Float32Array(4),
      });
    },
  };
  return { ...await drain(scheduler, answer), draws: counts.noise, levels };
}

for (const name of Object.keys(restorers) as (keyof typeof restorers)[]) {
  Deno.test(`${name}: where nothing was seen the answer is the network's picture, kept in the pixels' range`, async () => {
    for (const [said, shown] of [[0.3, 0.3], [4, 1], [-4, -1]]) {
      const { x, frames } = await blind(name, said);
      x.forEach((v) => assertAlmostEquals(v, shown, 1e-5, name));
      for (const { x_0 } of frames) x_0.forEach((v) => assertAlmostEquals(v, shown, 1e-5, name));
    }
  });
}

Deno.test("no sampler draws noise that it has no use for", async () => {
  const draws = async (name: keyof typeof restorers, options: SchedulerOptions = {}) =>
    (await blind(name, 0.2, { timesteps, options })).draws;
  assertEquals([await draws("pigdm", { eta: 0 }), await draws("sdedit", { eta: 0 })], [0, 0]);
  assertEquals([await draws("pigdm"), await draws("sdedit")], [2, 2]);
  assertEquals([await draws("ddrm"), await draws("dps"), await draws("diffpir")], [2, 2, 2]);
  const plain = { repeats: 1 }, travelling = { travel: 1, repeats: 2 };
  for (const name of ["ddnm", "repaint"] as const) {
    // Down, back and down again from two of the three levels, and down from the third.
    assertEquals([await draws(name, plain), await draws(name, travelling)], [2, 6], name);
  }
  // DAPS draws a picture given the data, and noises it anew: at the last level neither.
  assertEquals([await draws("daps"), await draws("daps", { sample_last: true })], [4, 5]);
});

Deno.test("daps' inner ODE never goes up in noise, and ends near the picture", async () => {
  const inner = async (t: number) => {
    const { levels } = await blind("daps", 0.2, { timesteps: [t], options: { ode: 3 } });
    return levels;
  };
  const [first, , last] = await inner(500);
  assert(first > 1 && Math.abs(last - 0.02) < 1e-9, `${first} to ${last}`);
  const low = await inner(0);
  assert(low[0] < 0.02 && low.every((level) => Math.abs(level - low[0]) < 1e-9), `${low}`);
});

Deno.test("sdedit of one step begins at its strength, and asks once", () => {
  const { schedule } = makeRun(ddrm).run;
  const config = unclipped;
  const of = (n: number, strength: number) =>
    restorers.sdedit.timesteps!(n, schedule, config, { strength });
  assertEquals([of(1, 0.5), of(1, 1), of(2, 0.5)], [[499], [999], [499, 249.5]]);
  assertEquals(of(1, 0.0001), [0]);
});

Deno.test("dps takes no step where the data say nothing, or say what the network says", async () => {
  const plain = await blind("dps", 0.3);
  const unmeasured: Measurement = {
    operator: { ...operator, s: new Float64Array(4), apply: () => new Float64Array(4) },
    y: Float32Array.of(1, 1, 1, 1),
    sigma_y: 0.1,
  };
  const explained: Measurement = { operator, y: Float32Array.of(0.3, 0.3, 0, 0), sigma_y: 0.1 };
  for (const measurement of [unmeasured, explained]) {
    const { run } = makeRun(dps, { size: 4, steps: 3 });
    const { alpha_bar } = run.schedule;
    const { x } = await drain(dps, {
      ...run,
      inputs: { measurement },
      denoise(x_t, t) {
        const eps = x_t.map((x) =>
          (x - Math.sqrt(alpha_bar(t)) * 0.3) / Math.sqrt(1 - alpha_bar(t))
        );
        return Promise.resolve({
          eps,
          x_0: new Float32Array(4).fill(0.3),
          variance: new Float32Array(4),
        });
      },
      vjp: (_x_t, _t, u) => Promise.resolve(u),
    });
    assertEquals(x, plain.x);
  }
});

Deno.test("ddrm by its theorem ends exactly at data without noise", async () => {
  const { x } = await restored(ddrm, { timesteps, options: { theorem: true } });
  [Y[0], Y[1], ESTIMATE[2], ESTIMATE[3]].forEach((v, i) => assertAlmostEquals(x[i], v, 1e-6));
});

Deno.test("daps' inner ODE is DDIM's, asked at each level's own time", async () => {
  const { run } = makeRun(daps, { timesteps: [700], options: { ode: 4 }, size: 4 });
  const { alpha_bar } = run.schedule;
  const asked: { x: Float32Array; t: number; level: number }[] = [];
  await drain(daps, {
    ...run,
    denoise(x, t, level = alpha_bar(t)) {
      asked.push({ x, t, level });
      const eps = x.map((v, i) => (v - Math.sqrt(level) * ESTIMATE[i]) / Math.sqrt(1 - level));
      return Promise.resolve({ eps, x_0: ESTIMATE.slice() });
    },
  });
  assertEquals(asked.length, 4);
  const [{ level: first }] = asked;
  for (const { x, t, level } of asked) {
    assertAlmostEquals(alpha_bar(t), level, 1e-9);
    x.forEach((v, i) => {
      const eps = (run.x[i] - Math.sqrt(first) * ESTIMATE[i]) / Math.sqrt(1 - first);
      assertAlmostEquals(v, Math.sqrt(level) * ESTIMATE[i] + Math.sqrt(1 - level) * eps, 1e-5);
    });
  }
});

Deno.test("dps and repaint of which nothing was seen are DDPM, draw for draw, under each variance", async () => {
  const learned = Float32Array.of(-1, -0.3, 0.4, 1);
  const made = async (scheduler: typeof dps, variance_type: string, options: SchedulerOptions) => {
    const config = parseSchedulerConfig({ variance_type });
    const { run } = makeRun(scheduler, { config, timesteps: [900, 500, 0], options, size: 4 });
    const { frames } = await drain(scheduler, {
      ...run,
      denoise: async (x, t) => ({ ...await run.denoise(x, t), variance: learned }),
    });
    return frames.map(({ x }) => x);
  };
  const pictures = new Set<string>();
  for (const type of ["fixed_small", "fixed_large", "learned_range"]) {
    const plain = await made(schedulers.ddpm, type, {});
    for (const [scheduler, options] of [[dps, {}], [repaint, { repeats: 1 }]] as const) {
      const blind = await made(scheduler, type, options);
      blind.forEach((x, i) =>
        x.forEach((v, p) =>
          assertAlmostEquals(v, plain[i][p], 1e-5, `${scheduler.name} ${type}, step ${i}`)
        )
      );
    }
    pictures.add(plain[0].join());
  }
  assertEquals(pictures.size, 3);
});

Deno.test("a run that lacks what its sampler needs is refused by the sampler's name", async () => {
  for (const [name, scheduler] of Object.entries(restorers)) {
    const { run } = makeRun(scheduler, { size: 4, steps: 2 });
    await assertRejects(
      () => drain(scheduler, { ...run, inputs: {} }),
      InputError,
      `scheduler "${name}": restores a measurement, and none was given`,
    );
    if (!scheduler.needs!.includes("vjp")) continue;
    await assertRejects(
      () => drain(scheduler, { ...run, vjp: undefined }),
      InputError,
      `scheduler "${name}": needs gradients of the network, which this engine does not give; ddrm and ddnm need none`,
    );
  }
});

Deno.test("each step shows the network's picture, with what was seen in it where it is put there", async () => {
  const both = [Y[0], Y[1], ESTIMATE[2], ESTIMATE[3]];
  const shown: [name: keyof typeof restorers, x_0: ArrayLike<number>][] = [
    ...(["ddrm", "ddnm", "pigdm", "dps", "daps", "sdedit"] as const).map((name) =>
      [name, ESTIMATE] as [typeof name, typeof ESTIMATE]
    ),
    ["repaint", both],
    // By its penalty, which data without noise hardly leave.
    ["diffpir", both],
  ];
  for (const [name, expected] of shown) {
    for (const { x_0 } of (await restored(restorers[name], { timesteps })).frames) {
      x_0.forEach((v, i) => assertAlmostEquals(v, expected[i], 1e-3, name));
    }
  }
});

Deno.test("at a level just as noisy as the data these are taken as they are: at the start, and after a journey", async () => {
  const places = [300, 100], options = { travel: 1, repeats: 2 };
  for (const [scheduler, asks] of [[ddrm, 2], [ddnm, 3]] as const) {
    const { run } = makeRun(scheduler, { timesteps: places, size: 4 });
    const { alpha_bar } = run.schedule;
    const asked: Float32Array[] = [];
    await drain(scheduler, {
      ...run,
      options: { ...run.options, ...options },
      inputs: { measurement: measured(sigmaOf(alpha_bar(places[0]))) },
      denoise: (x, t) => (asked.push(x), run.denoise(x, t)),
    });
    assertEquals(asked.length, asks, scheduler.name);
    for (const x of asked.slice(0, -1)) {
      const signal = Math.sqrt(alpha_bar(places[0]));
      for (const i of [0, 1]) assertAlmostEquals(x[i], signal * Y[i], 1e-6, scheduler.name);
    }
  }
});

Deno.test("a gradient is that of the network's own estimate; what a step shows is in the pixels' range", async () => {
  const said = 3, y = Float32Array.of(0.6, -0.4, 0, 0), sigma_y = 0.3;
  const residual = [y[0] - said, y[1] - said];
  const length = Math.hypot(...residual);
  for (
    const [scheduler, options] of [[dps, {}], [pigdm, {}], [pigdm, {
      weight: "posterior",
    }]] as const
  ) {
    const { run } = makeRun(scheduler, { timesteps, options, size: 4 });
    const { alpha_bar } = run.schedule;
    const asked: { t: number; u: Float32Array }[] = [];
    const { frames } = await drain(scheduler, {
      ...run,
      options: { ...run.options, from: 0 },
      inputs: { measurement: { operator, y, sigma_y } },
      denoise(x, t) {
        const a = alpha_bar(t);
        const eps = x.map((v) => (v - Math.sqrt(a) * said) / Math.sqrt(1 - a));
        return Promise.resolve({ eps, x_0: new Float32Array(4).fill(said) });
      },
      vjp(_x, t, u) {
        asked.push({ t, u });
        return Promise.resolve(u.map((v) => 9 * v));
      },
    });
    assertEquals(asked.length, timesteps.length);
    for (const { t, u } of asked) {
      // r² of ΠGDM with data of variance 1.
      const r2 = 1 - alpha_bar(t);
      const share = scheduler === dps ? 1 / length : r2 / (r2 + sigma_y ** 2);
      [...residual, 0, 0].forEach((r, i) => assertAlmostEquals(u[i], r * share, 1e-5));
    }
    for (const { x_0 } of frames) assert(x_0.every((v) => Math.abs(v) <= 1), `${x_0}`);
  }
});
