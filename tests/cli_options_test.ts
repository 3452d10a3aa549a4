/** What the flags of sampling commands ask a model for, and what a picture's recipe adds to them. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { RecipeFile } from "../src/cli/from_picture.ts";
import type { Io } from "../src/cli/io.ts";
import { mixtures, readMixFlags } from "../src/cli/mixtures.ts";
import {
  loadModel,
  loadScheduler,
  optionsHelp,
  readSamplingFlags,
  type SamplingFlags,
  seedsOf,
} from "../src/cli/sampling_options.ts";
import { InputError } from "../src/errors.ts";
import type { Model } from "../src/model/model.ts";
import type { Recipe } from "../src/recipe/recipe.ts";
import type { Scheduler } from "../src/diffusion/mod.ts";
import { temporaryFolder } from "./cli.ts";
import { fakeModel } from "./server_fake.ts";

const labels = ["cat", "dog", "a,b", " c", "e+f", "eel"];
const model = fakeModel({ labels, nullLabel: 6 }) as unknown as Model;
const plain = fakeModel() as unknown as Model;

function ioOf(signal = new AbortController().signal): Io {
  const none = () => {};
  return {
    quiet: true,
    signal,
    out: none,
    err: none,
    status: none,
    writeBytes: () => Promise.resolve(),
  };
}

const recipe: Recipe = {
  weights: "ab".repeat(32),
  source: "digits",
  scheduler: "ddim",
  schedule: "cosine",
  steps: 7,
  options: { eta: 0.5 },
  guidance: 2,
  nullLabel: 3,
  scale: 4,
  seed: 11,
  label: 5,
};

const fileOf = (...more: Partial<Recipe>[]): RecipeFile => ({
  path: "a.png",
  picture: { pixels: new Uint8Array(1), width: 1, height: 1, channels: 1 },
  recipes: more.map((one) => ({ ...recipe, ...one })),
});

/** What flags ask of a model. */
async function asked(flags: Partial<SamplingFlags>, from?: RecipeFile, of = model) {
  const all = { weights: "w", backend: "auto", ...flags };
  const seeds = seedsOf(all, 3, from);
  const request = (await readSamplingFlags(all, seeds, ioOf(), from))(of);
  const { signal: _, ...rest } = request;
  return { ...rest, scheduler: (request.scheduler as Scheduler | undefined)?.name };
}

Deno.test("flags that are not given leave everything to the weights", async () => {
  const request = await asked({});
  const { seeds, options, ...rest } = request;
  assertEquals([seeds, options], [[0, 1, 2], {}]);
  for (const [name, value] of Object.entries(rest)) assertEquals(value, undefined, name);
});

Deno.test("each flag is read by its kind", async () => {
  const request = await asked({
    ...{ scheduler: "ddim", schedule: "linear", steps: "9", guidance: "2.5", nullLabel: "6" },
    ...{ option: ["eta=0.25"], batch: "5", scale: "3", seed: "8", label: "dog" },
  });
  assertEquals([request.scheduler, request.schedule, request.steps], ["ddim", "linear", 9]);
  assertEquals([request.guidance, request.nullLabel, request.maxBatch], [2.5, 6, 5]);
  assertEquals([request.options, request.scale, request.size], [{ eta: 0.25 }, 3, undefined]);
  assertEquals([request.seeds, request.labels], [[8], "dog"]);
  assertEquals((await asked({ timesteps: "999, 500.5,0" })).timesteps, [999, 500.5, 0]);
  assertEquals((await asked({ size: "30x40" })).size, [30, 40]);
  assertEquals((await asked({ guided: "170-880" })).guided, [170, 880]);
  const wrong: [Partial<SamplingFlags>, string][] = [
    [{ steps: "0" }, "--steps: expected a whole number from 1"],
    [{ steps: "1", timesteps: "1" }, "--timesteps: give either --timesteps or --steps"],
    [{ timesteps: "1,x" }, "--timesteps: expected a number"],
    [{ nullLabel: "-1" }, "--null-label: expected a whole number from 0"],
    [{ batch: "0" }, "--batch: expected a whole number from 1 to 4096"],
    [{ batch: "4097" }, "--batch"],
    [{ scale: "0" }, "--scale: expected a whole number from 1 to 256"],
    [{ scale: "257" }, "--scale"],
    [{ size: "1x" }, "--size: expected a width and height: 128, or 128x96"],
    [{ scheduler: "ddim", option: ["eta=2"] }, "eta: expected a number from 0 to 1"],
    [{ scheduler: "ddim", option: ["theta=2"] }, "theta"],
    [{ option: ["eta"] }, "--option: expected name=value"],
  ];
  for (const [flags, message] of wrong) {
    const all = { weights: "w", backend: "auto", ...flags };
    // Before there is a model.
    await assertRejects(() => readSamplingFlags(all, [0], ioOf()), InputError, message);
  }
});

Deno.test("a picture's recipe stands in for what the flags leave out, and only for that", async () => {
  const from = fileOf({}, { seed: 3, label: 1 });
  const whole = await asked({}, from);
  assertEquals([whole.seeds, whole.labels, whole.scheduler], [[11, 3], [5, 1], "ddim"]);
  assertEquals([whole.schedule, whole.steps, whole.guidance], ["cosine", 7, 2]);
  assertEquals([whole.options, whole.nullLabel, whole.scale], [{ eta: 0.5 }, 3, 4]);
  assertEquals((await asked({ schedule: "linear" }, from)).schedule, "linear");
  assertEquals((await asked({ guidance: "1" }, from)).guidance, 1);
  assertEquals((await asked({ guidance: "0" }, from)).guidance, 0);
  const between = fileOf({ guided: [100, 500] });
  assertEquals((await asked({}, between)).guided, [100, 500]);
  assertEquals((await asked({ guided: "1-2" }, between)).guided, [1, 2]);
  assertEquals((await asked({ nullLabel: "0" }, from)).nullLabel, 0);
  assertEquals((await asked({ option: ["eta=0"] }, from)).options, { eta: 0 });
  assertEquals((await asked({ scheduler: "ddpm" }, from)).options, {}, "another's options");
  assertEquals((await asked({ scale: "1" }, from)).scale, 1);
  const sized = fileOf({ size: [30, 40], scale: 2 });
  const { size, scale } = await asked({}, sized);
  assertEquals([size, scale], [[30, 40], undefined], "a canvas implies its scale");
  assertEquals((await asked({ scale: "2" }, sized)).size, undefined);
  const byHand = fileOf({ timesteps: [9, 4], steps: 2 });
  const { timesteps, steps } = await asked({}, byHand);
  assertEquals([timesteps, steps], [[9, 4], 2]);
  const fewer = await asked({ steps: "1" }, byHand);
  assertEquals([fewer.timesteps, fewer.steps], [undefined, 1]);
  const other = await asked({ timesteps: "5" }, byHand);
  assertEquals([other.timesteps, other.steps], [[5], undefined]);
});

Deno.test("classes and mixtures of a picture are those of its seeds: other seeds have their own", async () => {
  const mix = { seed: 8, label: 1, share: 0.25 };
  const from = fileOf({ mix }, { seed: 3, label: 0 });
  const { labels: kept, mix: mixes } = await asked({}, from);
  assertEquals([kept, mixes], [[5, 0], [mix, undefined]]);
  for (const flags of [{ seed: "1" }, { seeds: "11,4" }, { seeds: "3,11" }]) {
    const { labels, mix } = await asked(flags, from);
    assertEquals([labels, mix], [undefined, undefined], JSON.stringify(flags));
  }
  assertEquals((await asked({ seeds: "11,3" }, from)).labels, [5, 0], "the same seeds");
  assertEquals((await asked({ label: "dog" }, from)).labels, "dog");
  const changed = await asked({ mix: "0.75" }, fileOf({ mix }));
  assertEquals(changed.mix, [{ ...mix, share: 0.75 }]);
  assertEquals((await asked({ with: "4" }, fileOf({ mix }))).mix, [{ ...mix, seed: 4 }]);
  const none = await asked({ with: "0", mix: "0" }, fileOf({ mix }));
  assertEquals(none.mix, [{ ...mix, seed: 0, share: 0 }], "0 is a seed and a share");
  assertEquals((await asked({}, fileOf({ label: undefined }), plain)).labels, undefined);
});

Deno.test("labels are one for all or one for each seed; a class's own name goes before its commas and spaces", async () => {
  const of = async (label: string, seeds = "0-1") => (await asked({ label, seeds })).labels;
  assertEquals(await of("cat"), "cat");
  assertEquals(await of(" cat "), "cat");
  assertEquals(await of("1"), "1");
  assertEquals(await of("cat, dog"), ["cat", "dog"]);
  assertEquals(await of("cat, c"), ["cat", " c"]);
  assertEquals(await of("a,b"), "a,b");
  assertEquals(await of(" a,b"), "a,b");
  assertEquals(await of("0,eel,1", "5-7"), ["0", "eel", "1"]);
  // The first class has such a name as well as any other.
  const first = (label: string, labels: string[]) =>
    asked({ label, seeds: "0-1" }, undefined, fakeModel({ labels }) as unknown as Model);
  assertEquals((await first("a,b", ["a,b", "c"])).labels, "a,b");
  assertEquals((await first("b, a", [" a", "b"])).labels, ["b", " a"]);
  for (const [label, count] of [["cat,dog,eel", 3], ["a,b,cat", 3]] as const) {
    await assertRejects(() => of(label), InputError, `--label: ${count} labels for 2 seeds`);
  }
});

Deno.test("seeds are the picture's, unless other ones are named; one seed is mixed as often as it has shares", () => {
  const of = (flags: Partial<SamplingFlags>, from?: RecipeFile) =>
    seedsOf({ weights: "w", backend: "auto", ...flags }, 16, from);
  const from = fileOf({}, { seed: 3 });
  assertEquals([of({}).length, of({ seed: "5" }), of({}, from)], [16, [5], [11, 3]]);
  assertEquals([of({ seed: "1" }, from), of({ n: "2" }, from)], [[1], [0, 1]]);
  assertEquals(of({ seeds: "4" }, from), [4]);
  assertEquals(of({ seed: "5", mix: "0,0.5,1" }), [5, 5, 5]);
  assertEquals(of({ seed: "5", mix: "0.5" }), [5]);
  assertEquals(of({ seed: "5", n: "2", mix: "0,1" }), [5, 6]);
  assertEquals(of({ mix: "0,1" }).length, 16);
});

Deno.test("what pictures are mixed with is one for all or one for each", () => {
  const seeds = [1, 2];
  const of = (named: Parameters<typeof mixtures>[2], flags: { with?: string; mix?: string }) =>
    mixtures(model, seeds, named, readMixFlags(flags));
  const label = undefined, share = undefined;
  assertEquals(of("cat", {}), { labels: "cat" });
  assertEquals(of(undefined, {}), { labels: undefined });
  assertEquals(of("cat+dog", {}), {
    labels: "cat",
    mix: seeds.map(() => ({ seed: undefined, label: "dog", share })),
  });
  assertEquals(of(["cat+dog", "eel"], { mix: "0.2,0.3" }), {
    labels: ["cat", "eel"],
    mix: [{ seed: undefined, label: "dog", share: 0.2 }, undefined],
  });
  assertEquals(of(["dog", "cat+eel"], { with: "7", mix: "0.5" }), {
    labels: ["dog", "cat"],
    mix: [{ seed: 7, label, share: 0.5 }, { seed: 7, label: "eel", share: 0.5 }],
  });
  assertEquals(of(3, { with: "7, 8" }), {
    labels: 3,
    mix: [{ seed: 7, label, share }, { seed: 8, label, share }],
  });
  assertEquals(of("e+f", {}), { labels: "e+f" }, "a class of that name");
  const wrong: [() => unknown, string][] = [
    [() => of("cat", { mix: "0.5" }), "--mix: expected something to mix with"],
    [() => of("cat", { with: "1,2,3" }), "--with: 3 values for 2 seeds"],
    [() => of("cat+dog", { mix: "0,0.5,1" }), "--mix: 3 values for 2 seeds"],
    [() => of("cat", { with: "7", mix: "1.1" }), "--mix: expected a number from 0 to 1"],
    [() => of("cat", { with: "7", mix: "-0.1" }), "--mix: expected a number from 0 to 1"],
    [() => of("cat", { with: "x" }), "--with: expected a whole number"],
    [
      () => mixtures(model, [1, 2, 3], "cat", readMixFlags({ with: "1,2" })),
      "2 values for 3 seeds",
    ],
  ];
  for (const [work, message] of wrong) assertThrows(work, InputError, message);
});

Deno.test("help tells of each option what it is when nobody says otherwise", () => {
  const option = { type: "number" as const, description: "how strong", default: 0.5 };
  const mine = { name: "mine", api: 1 as const, description: "Mine.", options: { eta: option } };
  const lines = optionsHelp("Samplers", { mine, bare: { name: "bare", api: 1 } }).split("\n");
  assertEquals(lines, [
    "",
    "Samplers:",
    "  mine     Mine.",
    `${" ".repeat(13)}--option eta=0.5: how strong`,
    "  bare     ",
  ]);
});

Deno.test("what no model can be loaded by is refused at once, and who has stopped does not wait for one", async () => {
  const flags = { weights: "no-such-weights", backend: "auto" };
  await assertRejects(() => loadModel(flags, ioOf()), InputError, "no-such-weights");
  const stopped = ioOf(AbortSignal.abort(new DOMException("stopped", "AbortError")));
  const error = await assertRejects(() => loadModel(flags, stopped), DOMException);
  assertEquals(error.message, "stopped");
  const wrong: [Partial<SamplingFlags>, string][] = [
    [{ backend: "cuda" }, "--backend: expected one of auto, "],
    [{ threads: "0" }, "--threads: expected a whole number from 1 to 1024"],
    [{ threads: "1025" }, "--threads: expected a whole number from 1 to 1024"],
  ];
  for (const [more, message] of wrong) {
    assertThrows(() => void loadModel({ ...flags, ...more }, ioOf()), InputError, message);
  }
});

Deno.test("a scheduler is a built-in one by its name, or a plug-in by its path", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/mine.ts`;
  await Deno.writeTextFile(path, 'export default { name: "mine", api: 1 };');
  assertEquals((await loadScheduler(path)).name, "mine");
  assertEquals((await loadScheduler("heun")).name, "heun");
  for (const spec of ["toString", "Heun", ""]) {
    await assertRejects(
      () => loadScheduler(spec),
      InputError,
      `scheduler ${spec}: expected one of`,
    );
  }
  await Deno.writeTextFile(path.replace("mine", "none"), "export default 3;");
  const none = () => loadScheduler(path.replace("mine", "none"));
  assert((await assertRejects(none, InputError)).message.includes("none.ts"));
});
