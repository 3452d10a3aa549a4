/** The contract suite over the samplers that restore: with nothing measured they draw from the prior. */
import { assertEquals } from "@std/assert";
import { timeTravel, travelSteps } from "../src/diffusion/mod.ts";
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
const evaluations = (n: number) => travelSteps(n, 2, 2);
schedulerContract(ddnm, {
  exact: false,
  evaluations,
  options: { eta: 0.05, repeats: 2, travel: 2 },
});
schedulerContract(repaint, { exact: false, evaluations, options: { repeats: 2, travel: 2 } });
schedulerContract(repaint, { options: { repeats: 1 } });
schedulerContract(pigdm, { draws: allButLast });
schedulerContract(pigdm, { draws: none, options: { eta: 0, weight: "posterior" } });
schedulerContract(dps, { draws: allButLast });
schedulerContract(diffpir, { draws: allButLast, options: { zeta: 0.001 } });
const twiceButLast = (timesteps: readonly number[]) => 2 * timesteps.length - 2;
schedulerContract(daps, { exact: false, draws: twiceButLast, evaluations: (n) => 5 * n });
schedulerContract(daps, { options: { ode: 1, deviation: 0.15, sample_last: true } });
schedulerContract(sdedit, { draws: allButLast, options: { strength: 1 } });
schedulerContract(sdedit, { draws: none, options: { strength: 1, eta: 0 } });

Deno.test("every restoring sampler goes by its own name and says what it needs", () => {
  for (const [name, scheduler] of Object.entries(restorers)) {
    assertEquals(scheduler.name, name);
    assertEquals(scheduler.needs?.[0], "measurement");
  }
});

Deno.test("time travel goes back at every length-th timestep from the last, as RePaint's Figure 9 has it", () => {
  const path = (n: number, length: number, repeats: number) =>
    timeTravel(n, length, repeats).map((move) =>
      move.kind === "back" ? `<${move.to}` : `${move.at}`
    )
      .join(" ");
  assertEquals(path(3, 1, 1), "0 1 2");
  assertEquals(path(3, 1, 2), "0 <0 0 1 <1 1 2");
  assertEquals(path(4, 2, 2), "0 1 2 <1 1 2 3");
  assertEquals(travelSteps(25, 5, 3), 65);
  const last = timeTravel(10, 2, 3).filter((move) => move.kind === "step" && move.last);
  assertEquals(last.map(({ at }) => at), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
