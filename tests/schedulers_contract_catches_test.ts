/** The contract suite fails where a plug-in breaks the contract: each fault by the test that names it. */
import { assert, assertEquals } from "@std/assert";
import { combine, type Frame, type Run, type Scheduler } from "../src/diffusion/mod.ts";
import { schedulerContract } from "./scheduler_contract.ts";

/** The names of the suite's tests that fail for a plug-in. */
async function failures(scheduler: Scheduler): Promise<string[]> {
  const tests: [string, () => void | Promise<void>][] = [];
  schedulerContract(scheduler, {}, (name, run) => tests.push([name, run]));
  assert(tests.length > 10);
  const failed = [];
  for (const [name, run] of tests) {
    try {
      await run();
    } catch {
      failed.push(name.slice(name.indexOf(": ") + 2));
    }
  }
  return failed;
}

interface Habits {
  after?(x: Float32Array, run: Run, t: number): Float32Array;
  skips?: number;
  signal?(alpha_bar: number): number;
}

/** A correct DDIM sampler with one habit changed. */
function plugin({ after = (x) => x, skips = NaN, signal = Math.sqrt }: Habits): Scheduler {
  async function* sampler(run: Run): AsyncGenerator<Frame, Float32Array> {
    let x = run.x;
    for (const [i, t] of run.timesteps.entries()) {
      const { x_0, eps } = await run.denoise(x, t);
      const alpha_bar = run.schedule.alpha_bar(run.timesteps[i + 1] ?? -1);
      x = combine([signal(alpha_bar), x_0], [Math.sqrt(1 - alpha_bar), eps]);
      x = after(x, run, t);
      if (i !== skips) yield { t, x, x_0 };
    }
    return x;
  }
  return { name: "faulty", api: 1, sampler };
}

async function assertCaught(scheduler: Scheduler, test: string) {
  const failed = await failures(scheduler);
  assert(failed.some((name) => name.startsWith(test)), `failed: ${failed.join("; ") || "nothing"}`);
}

Deno.test("the contract suite passes the plug-in that these faults are put into", async () => {
  assertEquals(await failures(plugin({})), []);
});

Deno.test("the contract suite catches a sampler that writes into its x", () =>
  assertCaught(
    plugin({
      after(x, run) {
        run.x[0] += 1;
        return x;
      },
    }),
    "nothing it was given",
  ));

Deno.test("the contract suite catches a sampler that goes on writing into a frame", () => {
  const reused = new Map<Run, Float32Array>();
  return assertCaught(
    plugin({
      after(x, run) {
        const own = reused.get(run) ?? x.slice();
        own.set(x);
        reused.set(run, own);
        return own;
      },
    }),
    "nothing it was given",
  );
});

Deno.test("the contract suite catches randomness of the sampler's own", () =>
  assertCaught(
    plugin({ after: (x) => x.map((value) => value + 1e-6 * Math.random()) }),
    "the same seed",
  ));

Deno.test("the contract suite catches draws of noise that depend on the picture", () =>
  assertCaught(
    plugin({
      after(x, run) {
        if (x[0] > 0.3) run.noise();
        return x;
      },
    }),
    "draws noise",
  ));

Deno.test("the contract suite catches state shared between images", () => {
  let shared = new Float32Array(1);
  return assertCaught(
    plugin({
      after(x) {
        const mixed = x.map((value) => value + 1e-3 * shared[0]);
        shared = Float32Array.of(x[0]);
        return mixed;
      },
    }),
    "many images at once",
  );
});

Deno.test("the contract suite catches a step without a frame", () =>
  assertCaught(plugin({ skips: 1 }), "a frame a timestep"));

Deno.test("the contract suite catches a wrong coefficient", () =>
  assertCaught(plugin({ signal: (alpha_bar) => alpha_bar }), "ends with the data's mean"));

Deno.test("the contract suite catches timesteps that repeat, or leave the range", async () => {
  for (const last of [0, -1, 1000]) {
    const timesteps = (n: number) => [...Array.from({ length: n - 1 }, (_, i) => n - 2 - i), last];
    await assertCaught({ ...plugin({}), timesteps }, "its timesteps descend");
  }
});

Deno.test("the contract suite catches βs outside (0, 1)", () =>
  assertCaught(
    { ...plugin({}), betas: (T) => new Float64Array(T).fill(1.5) },
    "its βs make a schedule",
  ));
