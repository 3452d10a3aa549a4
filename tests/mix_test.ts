/** Mixtures: a picture partly another's, by noise and by class. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { FieldError } from "../src/errors.ts";
import { etag } from "../src/recipe/etag.ts";
import { labelsMixed, type MixRequest } from "../src/recipe/mix.ts";
import { fromText, toText } from "../src/recipe/recipe.ts";
import { resolve } from "../src/recipe/resolve.ts";
import { denoiserOf } from "../src/sampling/denoiser.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { noiseOf } from "../src/sampling/image.ts";
import { slerp } from "../src/sampling/interpolate.ts";
import { generate } from "../src/sampling/pictures.ts";
import { planRun } from "../src/sampling/plan.ts";
import { createGenerator } from "../mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork, type FakeOptions } from "./sampling_network.ts";

const hash = "ab".repeat(32);
const classes: FakeOptions = { labels: ["wizard", "orc", "elf+dwarf"], nullLabel: 3 };
const network = () => ({ ...fakeNetwork(classes), hash });

Deno.test("a recipe has what a picture is mixed with, every default filled in", () => {
  const mixOf = (mix: MixRequest, label?: string) =>
    resolve(network(), schedulers, { seed: 3, label, mix }).mix;
  assertEquals(mixOf({ label: "orc" }, "wizard"), { label: 1, share: 0.5 });
  assertEquals(mixOf({ seed: 4 }, "wizard"), { seed: 4, share: 0.5 }, "a named class stays");
  assertEquals(mixOf({ seed: 4, share: 0.2 }), { seed: 4, label: 1, share: 0.2 });
  assertEquals(mixOf({ seed: 4, label: "orc" }, "orc"), { seed: 4, share: 0.5 });
  for (const nothing of [{ seed: 4, share: 0 }, { seed: 3 }, { label: "wizard" }]) {
    assertEquals(mixOf(nothing), undefined, JSON.stringify(nothing));
  }
});

Deno.test("what cannot be mixed is refused by name", () => {
  const wrong: [MixRequest, string, FakeOptions?][] = [
    [{}, "mix: expected something to mix with"],
    [{ label: "witch" }, "label: expected a class"],
    [{ label: "orc" }, "label: expected none: these weights know no classes", {}],
    [{ seed: 4, share: 1.5 }, "mix: expected a number from 0 to 1, found 1.5"],
    [{ seed: 4, share: -0.1 }, "mix: expected a number from 0 to 1, found -0.1"],
    [{ label: 4 }, "label: expected a class"],
    [{ seed: -1 }, "seed: expected"],
  ];
  for (const [mix, message, facts = classes] of wrong) {
    assertThrows(
      () => resolve(fakeNetwork(facts), schedulers, { seed: 3, mix }),
      FieldError,
      message,
    );
  }
});

Deno.test("two classes are named with a plus between, which a name may have as well", () => {
  const names = classes.labels!;
  const known = (text: string) => names.includes(text);
  assertEquals(labelsMixed("wizard+orc", known), ["wizard", "orc"]);
  assertEquals(labelsMixed("wizard + orc", known), ["wizard", "orc"]);
  assertEquals(labelsMixed("elf+dwarf", known), undefined, "is a class of its own");
  assertEquals(labelsMixed("elf+dwarf+orc", known), ["elf+dwarf", "orc"]);
  assertEquals(labelsMixed("wizard+elf+dwarf", known), ["wizard", "elf+dwarf"]);
  const halves = (text: string) => ["elf", "dwarf", "elf+dwarf"].includes(text);
  assertEquals(labelsMixed("elf+dwarf", halves), undefined, "also where its halves are classes");
  for (
    const text of ["wizard", "wizard+", "+orc", "wizard+witch", "witch+orc", "wizard orc", "+"]
  ) {
    assertEquals(labelsMixed(text, known), undefined, text);
  }
  assertEquals(labelsMixed("wizard orc", known, /[+ ]/g), ["wizard", "orc"]);
});

Deno.test("a mixture travels in a PNG beside pictures without, and is in the ETag", () => {
  const recipeOf = (mix?: MixRequest) => resolve(network(), schedulers, { seed: 3, mix });
  const all = [recipeOf({ seed: 9, share: 0.25 }), recipeOf(), recipeOf({ label: "orc" })];
  assertEquals(fromText(toText(all), "a.png"), all);
  assertEquals(new Set(all.map((recipe) => etag(recipe))).size, 3);
  const wrong = JSON.stringify({ ...JSON.parse(toText(all)), mixes: [{ share: 2 }, null, null] });
  assertThrows(() => fromText(wrong, "a.png"), FieldError, "mixes");
});

Deno.test("two seeds: every draw is on the arc between theirs", () => {
  for (const [seed, other] of [[3, 9], [3, 0], [0, 9]]) {
    const [a, b] = [createGenerator(seed), createGenerator(other)];
    const mixed = noiseOf({ seed, mix: { seed: other, share: 0.3 } });
    for (const size of [48, 48, 7]) {
      assertEquals(mixed.randn(size), slerp(a.randn(size), b.randn(size), 0.3));
    }
  }
});

Deno.test("with a share of 1 a picture is the other, under samplers that draw noise, too", async () => {
  for (const scheduler of ["ddim", "ddpm", "dpmpp"]) {
    const pictures = async (more: Partial<Parameters<typeof generate>[1]>) =>
      (await generate(network(), { seeds: [3], steps: 4, scheduler, ...more }))[0].pixels;
    const [one] = [await pictures({})];
    const other = await pictures({ seeds: [10] });
    assertEquals(await pictures({ mix: { seed: 10, share: 0 } }), one);
    assertEquals(await pictures({ mix: { seed: 10, share: 1 } }), other, scheduler);
    assertNotEquals(await pictures({ mix: { seed: 10 } }), one);
    assertNotEquals(await pictures({ mix: { seed: 10 } }), other);
  }
});

Deno.test("two classes: the network's outputs for both are added, guided or not", async () => {
  const fake = network();
  const plan = planRun(fake.scheduler, { scheduler: schedulers.ddim, steps: 4 });
  const x = Float32Array.from({ length: 16 }, (_, i) => i / 16 - 0.5);
  for (const guidance of [1, 3]) {
    const epsOf = async (label: number, mix?: { label: number; share: number }) =>
      (await denoiserOf(fake, plan, { label, guidance, mix }).denoise(x, 500)).eps;
    const [wizard, orc] = [await epsOf(0), await epsOf(1)];
    const mixed = await epsOf(0, { label: 1, share: 0.25 });
    mixed.forEach((eps, i) => {
      const expected = 0.75 * wizard[i] + 0.25 * orc[i];
      assert(Math.abs(eps - expected) < 1e-6, `${guidance}: ${eps}, expected ${expected}`);
    });
  }
});

Deno.test("a second class is an evaluation more for each call, and batches have room for it", async () => {
  const fake = network();
  const mix = { label: "orc" };
  await generate(fake, { seeds: [0, 1, 2], labels: "wizard", steps: 4, mix, maxBatch: 4 });
  const asked = fake.asked.map(({ labels }) => labels!);
  assertEquals(asked.flat().length, 3 * 4 * 2);
  assert(asked.every((labels) => labels.length <= 4));
  const plan = planRun(fake.scheduler, { scheduler: schedulers.ddim, steps: 4 });
  const count = (guidance: number, label?: number) =>
    countEvaluations(plan, { guidance, mix: { label, share: 0.5 } });
  assertEquals([await count(1), await count(1, 1), await count(2, 1)], [4, 8, 12]);
});

Deno.test("each seed may have a mixture of its own; their number has to be the seeds'", async () => {
  const mix = [{ label: "orc", share: 0.2 }, undefined, { seed: 8 }];
  const made = await generate(network(), { seeds: [0, 3, 6], steps: 2, mix });
  assertEquals(made.map(({ recipe }) => recipe.mix), [
    { label: 1, share: 0.2 },
    undefined,
    { seed: 8, label: 2, share: 0.5 },
  ]);
  let message = "";
  await generate(network(), { seeds: [0], steps: 2, mix }).catch((error) =>
    message = error.message
  );
  assertEquals(message, "mix: expected one for each of 1 seeds, found 3");
});
