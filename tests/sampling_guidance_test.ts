import { assertAlmostEquals, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { scheduleFor } from "../src/diffusion/mod.ts";
import { denoiserOf } from "../src/sampling/denoiser.ts";
import type { Conditioning } from "../src/recipe/conditioning.ts";
import { sample } from "../src/sampling/sample.ts";
import { schedulers } from "../schedulers/mod.ts";
import { answer, fakeNetwork, type FakeOptions } from "./sampling_network.ts";

const x = new Float32Array(16).map((_, i) => i / 8 - 1);
const classes: FakeOptions = { labels: ["a", "b"], nullLabel: 2 };

async function ask(facts: FakeOptions, conditioning: Conditioning) {
  const network = fakeNetwork(facts);
  const { scheduler: config } = network;
  const levels = { schedule: scheduleFor(config), config, modelTime: (t: number) => t };
  // The network predicts ε: eps is its output.
  const { eps, variance } = await denoiserOf(network, levels, conditioning).denoise(x, 400);
  return { network, output: eps, variance };
}

Deno.test("guided output is raw_uncond + s·(raw_cond − raw_uncond), both in one evaluation", async () => {
  for (const guidance of [0, 0.5, 2, 7.5]) {
    const { network, output } = await ask(classes, { label: 1, guidance });
    assertEquals(network.asked.map(({ labels }) => labels), [[1, 2]]);
    output.forEach((value, i) => {
      const cond = answer(x[i], 400, 1), uncond = answer(x[i], 400, 2);
      assertAlmostEquals(value, uncond + guidance * (cond - uncond), 1e-6);
    });
  }
});

Deno.test("guidance 1 asks for the class alone", async () => {
  const { network, output } = await ask(classes, { label: 1, guidance: 1 });
  assertEquals(network.asked.map(({ labels }) => labels), [[1]]);
  assertEquals(output, x.map((value) => answer(value, 400, 1)));
});

Deno.test("the variance half of a guided output is the conditional one, unguided", async () => {
  const { variance } = await ask({ ...classes, outChannels: 2 }, { label: 1, guidance: 3 });
  assertEquals(variance, x.map((value) => -answer(value, 400, 1)));
});

Deno.test("a null label that is given goes before the weights' own", async () => {
  const { network } = await ask(classes, { label: 1, guidance: 2, nullLabel: 0 });
  assertEquals(network.asked[0].labels, [1, 0]);
});

Deno.test("DDIM's clipped_eps=guided is always for guided pictures and never for others", async () => {
  const picture = async (guidance: number, clipped_eps?: string) => {
    const frames = sample(fakeNetwork(classes), {
      seeds: [1],
      scheduler: schedulers.ddim,
      steps: 3,
      guidance,
      options: clipped_eps ? { clipped_eps } : {},
    });
    return (await Array.fromAsync(frames)).at(-1)!.x;
  };
  assertEquals(await picture(7, "guided"), await picture(7, "always"));
  assertNotEquals(await picture(7, "guided"), await picture(7));
  assertEquals(await picture(1, "guided"), await picture(1));
  assertNotEquals(await picture(1, "always"), await picture(1));
});

const refusals: [what: string, facts: FakeOptions, request: object, message: string][] = [
  ["guidance without classes", {}, { guidance: 2 }, "these weights know no classes"],
  ["a class without classes", {}, { labels: 1 }, "these weights know no classes"],
  [
    "a class that is not there",
    classes,
    { labels: 5 },
    "label: expected a class (a, b) or its index, found 5",
  ],
  [
    "guidance where no class means none",
    { labels: ["a", "b"] },
    { guidance: 2 },
    'do not say which class means "none"',
  ],
  ["a null label that is not there", classes, { guidance: 2, nullLabel: 9 }, "expected 0 to 2"],
  ["guidance that is no number", classes, { guidance: NaN }, "guidance: expected a number"],
  ["fewer labels than seeds", classes, { labels: [0] }, "labels: expected one for each of 2 seeds"],
];
for (const [what, facts, request, message] of refusals) {
  Deno.test(`${what} is refused before the network is asked`, async () => {
    const network = fakeNetwork(facts);
    const run = sample(network, {
      seeds: [1, 2],
      scheduler: schedulers.ddim,
      steps: 2,
      ...request,
    });
    await assertRejects(() => run.next(), InputError, message);
    assertEquals(network.asked, []);
  });
}
