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

/** Distance from the ODE's exact path after n steps evenly spaced in λ, short of the jump to σ = 0. */
async function flowError(scheduler: Scheduler, n: number): Promise<number> {
  const { alpha_bar, lambda, t_of } = scheduleFor(parseSchedulerConfig({}));
  const first = lambda(900), last = lambda(20);
  const timesteps = Array.from({ length: n + 1 }, (_, i) => t_of(first + (last - first) * i / n));
  const { run } = makeRun(scheduler, { timesteps, size: 64, options: { clip: false } });
  const { x } = (await drain(scheduler, run)).frames.at(-2)!;
  const exact = gaussianFlow(run.x, alpha_bar(timesteps[0]), alpha_bar(timesteps[n]));
  return Math.sqrt(x.reduce((sum, v, i) => sum + (v - exact[i]) ** 2, 0) / x.length);
}

for (
  const [name, order] of [["ddim", 1], ["dpmpp", 2], ["heun", 2], ["ipndm", 2], [
    "unipc",
    3,
  ]] as const
) {
  Deno.test(`${name} follows the ODE to order ${order} in the step size`, async () => {
    const found = Math.log2(
      await flowError(schedulers[name], 80) / await flowError(schedulers[name], 160),
    );
    assert(found > order - 0.2 && found < order + 0.6, `order ${found}`);
  });
}

Deno.test("the solvers are ahead of DDIM at 10 steps already", async () => {
  const ddim = await flowError(schedulers.ddim, 10);
  for (const name of ["dpmpp", "unipc", "ipndm", "heun"]) {
    const error = await flowError(schedulers[name], 10);
    assert(error < ddim / 1.5, `${name}: ${error}, ddim ${ddim}`);
  }
});
