/** Every option that a plug-in describes does something, at every value that it may have. */
import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import {
  type Measurement,
  type OptionSchema,
  parseSchedulerConfig,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import type { OperatorPlugin } from "../src/restoration/operator.ts";
import { denoising } from "../src/restoration/operators/denoising.ts";
import { masked } from "../src/restoration/operators/inpainting.ts";
import { operators } from "../src/restoration/operators/mod.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { planRun } from "../src/sampling/plan.ts";
import { schedulers } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

type Value = number | boolean | string;

const size = 64;
/** Noisy pixels, and a hole: both what is known and what is missing can be told apart. */
const measurement: Measurement = {
  operator: masked(
    denoising([1, 1, size]),
    Uint8Array.from({ length: size }, (_, p) => p % 3 === 0 ? 0 : 1),
  ),
  y: Float32Array.from({ length: size }, (_, p) => p % 3 === 0 ? 0 : Math.sin(p)),
  sigma_y: 0.2,
};

/** Options that do nothing unless another one has this value. */
const beside: Record<string, Record<string, Value>> = { ddnm: { repeats: 2 } };

/** Values beside the default: all of a choice, the neighbours of a whole number, the ends of a range. */
function others({ enum: values, type, default: usual, minimum, maximum }: OptionSchema): Value[] {
  if (values) return values.filter((value) => value !== usual);
  if (typeof usual === "boolean") return [!usual];
  if (type !== "integer") return [minimum!, maximum!].filter((value) => value !== usual);
  return [Number(usual) - 1, Number(usual) + 1]
    .filter((value) => value >= (minimum ?? -Infinity) && value <= (maximum ?? Infinity));
}

async function made(scheduler: Scheduler, options: Record<string, Value>): Promise<number[]> {
  // Clipping does something to every estimate.
  const config = parseSchedulerConfig({ clip_sample_range: 0.1 });
  const { run } = makeRun(scheduler, { config, options, size, steps: 12 });
  const noisy = scheduler.name === "repaint" ? { ...measurement, sigma_y: 0 } : measurement;
  const inputs = scheduler.needs?.includes("measurement") ? { measurement: noisy } : {};
  return [...(await drain(scheduler, { ...run, inputs, guided: true })).x];
}

for (const scheduler of [...Object.values(schedulers), ...Object.values(restorers)]) {
  if (!scheduler.options) continue;
  Deno.test(`${scheduler.name}: every option changes the picture, whatever else it may be`, async () => {
    const common = beside[scheduler.name] ?? {};
    const usual = await made(scheduler, common);
    assertEquals(await made(scheduler, common), usual, "the same options make the same picture");
    for (const [name, option] of Object.entries(scheduler.options!)) {
      const values = others({ ...option, default: common[name] ?? option.default });
      assert(values.length > 0, `${name} has one value`);
      for (const value of values) {
        assertNotEquals(
          await made(scheduler, { ...common, [name]: value }),
          usual,
          `${name} ${value}`,
        );
      }
    }
  });
}

Deno.test("iPNDM of order 1 is DDIM, and of each order up to 4 its own", async () => {
  const timesteps = [950, 800, 640, 500, 350, 200, 100, 0];
  const frames = async (scheduler: Scheduler, options: Record<string, Value>) =>
    (await drain(scheduler, makeRun(scheduler, { timesteps, options }).run)).frames;
  const ipndm = (order: number) => frames(schedulers.ipndm, { order, clip: false });
  const ddim = await frames(schedulers.ddim, {});
  for (const [i, { x }] of (await ipndm(1)).entries()) {
    x.forEach((v, p) => assertAlmostEquals(v, ddim[i].x[p], 2e-6));
  }
  // An order looks back as soon as there are so many steps: before, it does what the one below does.
  for (const order of [2, 3, 4]) {
    const [own, below] = [await ipndm(order), await ipndm(order - 1)];
    const same = own.map(({ x }, i) => x.every((v, p) => v === below[i].x[p]));
    assertEquals(same.indexOf(false), order - 1);
  }
});

/** "eta number 0, 0 … 1" and "clip boolean true", an option a line, for each plug-in in the list's order. */
function spelled(plugins: Readonly<Record<string, Scheduler | OperatorPlugin>>) {
  return Object.entries(plugins).map(([name, plugin]) => [
    ...[name, plugin.name, plugin.api],
    ...Object.entries(plugin.options ?? {}).map(([key, option]) => {
      const { type, default: usual, minimum, maximum, enum: values } = option;
      const bounds = values?.join(" ") ?? (minimum !== undefined && `${minimum} … ${maximum}`);
      return `${key} ${type} ${usual}${bounds ? `, ${bounds}` : ""}`;
    }),
  ]);
}

Deno.test("every built-in's options have these defaults and bounds", () => {
  const clip = "clip boolean true";
  assertEquals(spelled(schedulers), [
    ["linear", "linear", 1],
    ["cosine", "cosine", 1],
    ["ddpm", "ddpm", 1],
    ["ddim", "ddim", 1, "eta number 0, 0 … 1", "clipped_eps string never, never guided always"],
    ["dpmpp", "dpmpp", 1, clip],
    ["ipndm", "ipndm", 1, clip, "order integer 4, 1 … 4"],
    ["unipc", "unipc", 1, clip],
    ["heun", "heun", 1, clip],
  ]);
  const range = ["start number 1, 0.05 … 1", "end number 0, 0 … 0.5"];
  const from = "from number 0.01, 0 … 1", travel = "travel integer 5, 1 … 1000";
  assertEquals(spelled(restorers), [
    [
      ...["ddrm", "ddrm", 1, "eta number 0.85, 0 … 1", "eta_b number 1, 0 … 1", ...range],
      "theorem boolean false",
    ],
    ["ddnm", "ddnm", 1, "eta number 0.85, 0 … 1", ...range, travel, "repeats integer 1, 1 … 100"],
    [
      ...["pigdm", "pigdm", 1, "eta number 1, 0 … 1", "weight string paper, paper posterior"],
      ...["deviation number 1, 0.001 … 1000", from],
    ],
    ["dps", "dps", 1, "zeta number 20, 0 … 1000", from],
    ["diffpir", "diffpir", 1, "lambda number 1, 0.001 … 1000", "zeta number 1, 0 … 1"],
    [
      ...["daps", "daps", 1, "ode integer 5, 1 … 100", "deviation number 0.3, 0.001 … 1000"],
      ...["last_sigma number 0.1, 0.02 … 10", "sample_last boolean false"],
    ],
    ["repaint", "repaint", 1, travel, "repeats integer 4, 1 … 100"],
    ["sdedit", "sdedit", 1, "strength number 0.5, 0.01 … 1", "eta number 1, 0 … 1"],
  ]);
  const needs = Object.entries(restorers).map(([name, { needs }]) => `${name} ${needs}`);
  const measurement = ["diffpir", "daps", "repaint", "sdedit"].map((name) => `${name} measurement`);
  assertEquals(needs, [
    ...["ddrm measurement", "ddnm measurement", "pigdm measurement,vjp", "dps measurement,vjp"],
    ...measurement,
  ]);
  for (const { needs } of Object.values(schedulers)) assertEquals(needs, undefined);
  assertEquals(spelled(operators), [
    ["inpainting", "inpainting", 1],
    ["mean", "mean", 1, "scale integer 4, 2 … 64"],
    ["bicubic", "bicubic", 1, "scale integer 4, 2 … 64"],
    [
      ...["blur", "blur", 1, "kind string gaussian, gaussian uniform", "size number 2, 0.1 … 101"],
      "border string reflect, reflect zero",
    ],
    ["motion", "motion", 1, "length number 7, 2 … 101", "angle number 0, -360 … 360"],
    ["grey", "grey", 1],
    ["denoising", "denoising", 1],
    ["sensing", "sensing", 1, "share number 0.25, 0.001 … 1", "seed integer 0, 0 … 4294967295"],
  ]);
  const masks = Object.values(operators).filter(({ mask }) => mask).map(({ name }) => name);
  assertEquals(masks, ["inpainting"]);
});

Deno.test("what a description says of its cost is what the network is asked", async () => {
  const config = parseSchedulerConfig({});
  const told: string[] = [];
  for (const scheduler of [...Object.values(schedulers), ...Object.values(restorers)]) {
    const { name, description = "", options = {} } = scheduler;
    const [, cost = "1"] = description.match(/a step costs `?(\w+)`?/) ?? [];
    const each = Number(options[cost]?.default ?? cost);
    if (cost !== "1") told.push(`${name} ${cost}`);
    const { from } = options;
    const once = { ...(options.repeats && { repeats: 1 }), ...(from && { from: 0 }) };
    const plan = planRun(config, { scheduler, steps: 6, options: once });
    const asked = /two evaluations a step but the last/.test(description) ? 11 : 6 * each;
    assertEquals(await countEvaluations(plan), asked, name);
  }
  assertEquals(told, ["pigdm 3", "dps 3", "daps ode"]);
});
