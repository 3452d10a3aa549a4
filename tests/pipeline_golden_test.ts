/** Pictures from the command line against those of diffusers' pipelines. */
import { assert, assertEquals } from "@std/assert";
import { readNpz } from "../src/image/npz.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { readGolden } from "./golden.ts";

interface Case {
  folder: string;
  file: string;
  images: string;
  seeds?: string;
  flags: string[];
}

const more: Case[] = ["ddpm_legacy", "train_unconditional"].flatMap((folder) => [
  {
    folder,
    file: "pipeline_more",
    images: "ddim_eta1_images",
    flags: ["--scheduler", "ddim", "--steps", "10", "--option", "eta=1"],
  },
  {
    folder,
    file: "pipeline_more",
    images: "dpmpp_images",
    flags: ["--scheduler", "dpmpp", "--steps", "12", "--option", "clip=false"],
  },
  {
    folder,
    file: "pipeline",
    images: "ddpm_images",
    seeds: "ddpm_seeds",
    flags: ["--scheduler", "ddpm", "--steps", "25"],
  },
  {
    folder,
    file: "pipeline",
    images: "ddim_images",
    seeds: "ddim_seeds",
    flags: ["--scheduler", "ddim", "--steps", "10"],
  },
]);

const cases: Case[] = [
  ...more,
  {
    folder: "learned_range",
    file: "pipeline",
    images: "ddpm_images",
    flags: ["--scheduler", "ddpm", "--steps", "25"],
  },
  {
    folder: "class_conditional",
    file: "pipeline_more",
    images: "ddim_images",
    flags: ["--scheduler", "ddim", "--steps", "10"],
  },
  {
    folder: "class_conditional",
    file: "pipeline_more",
    images: "ddim_guidance2_images",
    flags: ["--scheduler", "ddim", "--steps", "10", "--guidance", "2", "--null-label", "10"],
  },
];

/** WebGPU's arithmetic differs from machine to machine. */
const bounds: Record<string, { most: number; within1: number }> = {
  simd: { most: 1, within1: 1 },
  native: { most: 1, within1: 1 },
  wasm: { most: 1, within1: 1 },
  webgpu: { most: 6, within1: 0.95 },
};

async function differences(backend: string, { folder, file, images, seeds, flags }: Case) {
  const golden = await readGolden(`${folder}/${file}.safetensors`);
  const expected = golden.floats(images);
  const labels = golden.integers("labels");
  await using temporary = await temporaryFolder();
  const out = `${temporary.path}/pictures.npz`;
  const weights = new URL(`./golden/${folder}/`, import.meta.url).href;
  const result = await cli([
    "sample",
    "--quiet",
    ...["--weights", weights, "--backend", backend, "--out", out],
    ...["--seeds", golden.integers(seeds ?? "seeds")!.join()],
    ...(labels ? ["--label", labels.join()] : []),
    ...flags,
  ]);
  assertEquals([result.code, result.err], [0, ""]);
  const { arr_0 } = Object.fromEntries(await readNpz(await Deno.readFile(out), out));
  assertEquals(arr_0.shape, golden.shape(images));
  return Array.from(expected, (x, i) => Math.abs(Number(arr_0.data[i]) - x * 255));
}

const walk = (folder: string, images: string) =>
  cases.filter((test) => test.folder === folder && test.images === images);
/**
 * Of engines whose samplers and noise are those of the others, and whose networks unet_golden_test holds
 * by themselves: each network's walk that asks most of it; on WebGPU one, as a software adapter takes long.
 */
const chosen: Record<string, Case[]> = {
  wasm: [
    ...walk("ddpm_legacy", "ddpm_images"),
    ...walk("train_unconditional", "ddpm_images"),
    ...walk("learned_range", "ddpm_images"),
    ...walk("class_conditional", "ddim_guidance2_images"),
  ],
  webgpu: walk("ddpm_legacy", "ddim_images"),
};

const gpu = await navigator.gpu?.requestAdapter();
for (const backend of ["simd", "native", "wasm", ...(gpu ? ["webgpu"] : [])]) {
  const { most, within1 } = bounds[backend];
  for (const test of chosen[backend] ?? cases) {
    Deno.test(`${backend}: ${test.folder} ${test.images} as diffusers', within ${most}/255`, async () => {
      const levels = await differences(backend, test);
      const worst = levels.reduce((a, b) => Math.max(a, b), 0);
      assert(worst <= most + 1e-3, `the largest difference is ${worst}/255`);
      const near = levels.filter((level) => level <= 1.001).length / levels.length;
      assert(near >= within1, `only ${near} of the pixels are within 1/255`);
    });
  }
}

for (
  const [backend, images, scheduler, steps] of [
    ["simd", "ddim50_images", "ddim", 50],
    ["simd", "ddpm100_images", "ddpm", 100],
    // The network's own parity is held by unet_golden_test for each backend: one walk is enough here.
    ["native", "ddim50_images", "ddim", 50],
  ]
) {
  Deno.test(`${backend}: sixteen digits from real weights, ${images}, as diffusers', within 1/255`, async () => {
    const flags = ["--scheduler", String(scheduler), "--steps", String(steps)];
    const test = { folder: "digits", file: "pipeline", images: String(images), flags };
    const levels = await differences(String(backend), test);
    assert(Math.max(...levels) <= 1.001, `the largest difference is ${Math.max(...levels)}/255`);
  });
}
