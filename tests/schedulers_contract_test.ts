import { assert, assertEquals } from "@std/assert";
import {
  combine,
  parseSchedulerConfig,
  scheduleFor,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import { drain, gaussianFlow, makeRun, schedulerContract } from "./scheduler_contract.ts";

const none = () => 0;
const ancestralDraws = (timesteps: readonly number[]) => timesteps.filter((t) => t > 0).length;

for (const name of ["linear", "cosine", "ddpm"]) {
  schedulerContract(schedulers[name], { draws: ancestralDraws });
}
schedulerContract(schedulers.ddim, { draws: none });
schedulerContract(schedulers.ddim, {
  draws: (timesteps) => timesteps.length,
  options: { eta: 0.5 },
});
schedulerContract(schedulers.dpmpp, { draws: none });
schedulerContract(schedulers.dpmpp, { draws: none, options: { clip: false } });
schedulerContract(schedulers.unipc, { draws: none });
schedulerContract(schedulers.ipndm, { draws: none });
schedulerContract(schedulers.heun, { draws: none, evaluations: (n) => 2 * n - 1 });

/** A stranger's plug-in in the fewest words: DDIM at η = 0 over timesteps of its own. */
const stranger: Scheduler = {
  name: "stranger",
  api: 1,
  timesteps: (n, { T }) => Array.from({ length: n }, (_, i) => (T - 1) * (1 - i / n) ** 1.5),
  async *sampler(run) {
    let x = run.x;
    for (const [i, t] of run.timesteps.entries()) {
      const { x_0, eps } = await run.denoise(x, t);
      const alpha_bar = run.schedule.alpha_bar(run.timesteps[i + 1] ?? -1);
      x = combine([Math.sqrt(alpha_bar), x_0], [Math.sqrt(1 - alpha_bar), eps]);
      yield { t, x, x_0 };
    }
    return x;
  },
};
schedulerContract(stranger, { draws: none });

Deno.test("every built-in plug-in goes by its own name", () => {
  for (const [name, scheduler] of Object.entries(schedulers)) assertEquals(scheduler.name, name);
});

/** Root-mean-square distance from the ODE's exact end after n timesteps evenly spaced in λ. */
async function flowError(scheduler: Scheduler, n: number): Promise<number> {
  const schedule = scheduleFor(parseSchedulerConfig({}));
  const first = schedule.lambda(999), last = schedule.lambda(0);
  const timesteps = Array.from(
    { length: n },
    (_, i) => schedule.t_of(first + (last - first) * i / (n - 1)),
  );
  const { run } = makeRun(scheduler, { timesteps, size: 256 });
  const { x } = await drain(scheduler, run);
  const exact = gaussianFlow(run.x, schedule.alpha_bar(999));
  return Math.sqrt(x.reduce((sum, v, i) => sum + (v - exact[i]) ** 2, 0) / x.length);
}

Deno.test("the higher-order solvers end closer to the ODE's exact end, and gain more by steps", async () => {
  const ddim = {
    at20: await flowError(schedulers.ddim, 20),
    at40: await flowError(schedulers.ddim, 40),
  };
  assert(ddim.at20 / ddim.at40 < 2.2, "DDIM is of first order");
  for (const name of ["dpmpp", "unipc", "ipndm", "heun"]) {
    const at20 = await flowError(schedulers[name], 20),
      at40 = await flowError(schedulers[name], 40);
    assert(at20 < ddim.at20 / 3, `${name} at 20: ${at20}, ddim ${ddim.at20}`);
    assert(at40 < ddim.at40 / 9, `${name} at 40: ${at40}, ddim ${ddim.at40}`);
    assert(at20 / at40 > 3.5, `${name}: ${at20} at 20, ${at40} at 40`);
  }
});
