/** The contract suite over the samplers that restore: with nothing measured they draw from the prior. */
import { assertEquals } from "@std/assert";
import { restorers } from "../schedulers/restoration/mod.ts";
import { schedulerContract } from "./scheduler_contract.ts";

const { ddrm, ddnm, pigdm, dps, diffpir, daps, repaint, sdedit } = restorers;
const allButLast = (timesteps: readonly number[]) => timesteps.length - 1;
const none = () => 0;

// With so many steps any eta that does not shrink with them takes variance away (see the exact laws in
// restoration_gaussian_test.ts), so the suite runs with little of it.
schedulerContract(ddrm, { draws: allButLast, options: { eta: 0.05 } });
schedulerContract(ddnm, { draws: allButLast, options: { eta: 0.05 } });
// Travel from the estimate, and with DDPM's smaller variance, is known to lose variance.
schedulerContract(ddnm, { exact: false, options: { eta: 0.05, repeats: 2, travel: 2 } });
schedulerContract(repaint, { exact: false, options: { repeats: 2, travel: 2 } });
schedulerContract(repaint, { options: { repeats: 1 } });
schedulerContract(pigdm, { draws: allButLast });
schedulerContract(pigdm, { draws: none, options: { eta: 0, weight: "posterior" } });
schedulerContract(dps, { draws: allButLast });
schedulerContract(diffpir, { draws: allButLast, options: { zeta: 0.001 } });
const twiceButLast = (timesteps: readonly number[]) => 2 * timesteps.length - 2;
schedulerContract(daps, { exact: false, draws: twiceButLast });
schedulerContract(daps, { options: { ode: 1, deviation: 0.15, sample_last: true } });
schedulerContract(sdedit, { draws: allButLast, options: { strength: 1 } });
schedulerContract(sdedit, { draws: none, options: { strength: 1, eta: 0 } });

Deno.test("every restoring sampler goes by its own name and says what it needs", () => {
  for (const [name, scheduler] of Object.entries(restorers)) {
    assertEquals(scheduler.name, name);
    assertEquals(scheduler.needs?.[0], "measurement");
  }
});
