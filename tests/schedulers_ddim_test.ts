/** Where each of DDIM's steps leads, read off a network that sees the picture 1 and no noise. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import ddim from "../schedulers/ddim.ts";
import {
  configTimesteps,
  parseSchedulerConfig,
  type SchedulerConfig,
  spacedTimesteps,
} from "../src/diffusion/mod.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

/** The ᾱ that each step of a run leads to: its x is then √ᾱ. */
async function alphaBarsOf(config: SchedulerConfig, timesteps: readonly number[]) {
  const { run } = makeRun(ddim, { config, timesteps, size: 1 });
  const denoise = () => Promise.resolve({ eps: Float32Array.of(0), x_0: Float32Array.of(1) });
  const { frames } = await drain(ddim, { ...run, denoise });
  return { found: frames.map(({ x }) => x[0] ** 2), alpha_bar: run.schedule.alpha_bar };
}

function assertAllNear(found: readonly number[], expected: readonly number[], what: string) {
  assertEquals(found.length, expected.length);
  found.forEach((a, i) => assertAlmostEquals(a, expected[i], 1e-6, `${what}, step ${i}`));
}

const T = 1000;

for (const timestep_spacing of ["leading", "linspace", "trailing"] as const) {
  for (const n of [7, 30, 60, 999]) {
    Deno.test(`as diffusers, ${n} ${timestep_spacing} steps go down by ⌊T/n⌋ = ${Math.floor(T / n)}`, async () => {
      const config = parseSchedulerConfig({ timestep_spacing });
      const timesteps = configTimesteps(n, T, config);
      const { found, alpha_bar } = await alphaBarsOf(config, timesteps);
      const expected = timesteps.map((t) => alpha_bar(Math.max(-1, t - Math.floor(T / n))));
      assertAllNear(found, expected, timestep_spacing);
    });
  }
}

Deno.test("other timesteps than the config's lead to each other, and the last to the picture", async () => {
  const config = parseSchedulerConfig({});
  for (const timesteps of [[900, 500, 3], [999.5 - 1, 20.25], spacedTimesteps(60, T, "trailing")]) {
    const { found, alpha_bar } = await alphaBarsOf(config, timesteps);
    assertAllNear(found, [...timesteps.slice(1), -1].map(alpha_bar), `${timesteps}`);
  }
  // All there are, which a config with an offset could not space itself.
  const few = parseSchedulerConfig({ num_train_timesteps: 5, steps_offset: 1 });
  const { found, alpha_bar } = await alphaBarsOf(few, [4, 3, 2, 1, 0]);
  assertAllNear(found, [3, 2, 1, 0, -1].map(alpha_bar), "all");
});

Deno.test("set_alpha_to_one decides whether the last step ends at ᾱ = 1 or at ᾱ_0", async () => {
  for (const set_alpha_to_one of [true, false]) {
    const config = parseSchedulerConfig({ set_alpha_to_one });
    for (const timesteps of [configTimesteps(10, T, config), [700, 200]]) {
      const { found, alpha_bar } = await alphaBarsOf(config, timesteps);
      assertAlmostEquals(found.at(-1)!, set_alpha_to_one ? 1 : alpha_bar(0), 1e-6);
    }
  }
});
