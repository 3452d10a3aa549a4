import { assertAlmostEquals, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { scheduleFor } from "../src/diffusion/mod.ts";
import { denoiserOf } from "../src/sampling/denoiser.ts";
import type { Network } from "../src/model/network.ts";
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

Deno.test("only guidance 1 is none, whichever way it leads", () => {
  const network = fakeNetwork(classes);
  const { scheduler: config } = network;
  const levels = { schedule: scheduleFor(config), config, modelTime: (t: number) => t };
  const guided = (guidance: number) => denoiserOf(network, levels, { label: 1, guidance }).guided;
  assertEquals([-1, 0, 0.5, 1, 2].map(guided), [true, true, true, false, true]);
});

Deno.test("an estimate and its gradient are asked for at the model's own time of a level, and are of that level", async () => {
  const times: number[] = [];
  const network: Network = {
    ...fakeNetwork(),
    predict: (x, t) => (times.push(...t), Promise.resolve(x.slice())),
    vjp: (_x, t, u) => (times.push(...t), Promise.resolve(u.map((v) => 2 * v))),
  };
  const config = { ...network.scheduler, prediction_type: "v_prediction" as const };
  const schedule = scheduleFor(config);
  const { denoise, vjp } = denoiserOf(
    network,
    {
      schedule,
      config,
      modelTime: (t, alpha_bar) => alpha_bar === undefined ? t : 100 * alpha_bar,
    },
    { guidance: 1 },
  );
  for (const [level, alpha_bar] of [[undefined, schedule.alpha_bar(400)], [0.25, 0.25]] as const) {
    const { eps } = await denoise(x, 400, level);
    const gradient = await vjp!(x, 400, x, level);
    // eps = √ᾱ·v + √(1−ᾱ)·x_t, of v = x_t and of its slope, 2.
    const [signal, sigma] = [Math.sqrt(alpha_bar), Math.sqrt(1 - alpha_bar)];
    x.forEach((v, i) => {
      assertAlmostEquals(eps[i], (signal + sigma) * v, 1e-6);
      assertAlmostEquals(gradient[i], (2 * signal + sigma) * v, 1e-6);
    });
  }
  assertEquals(times, [400, 400, 25, 25]);
});
