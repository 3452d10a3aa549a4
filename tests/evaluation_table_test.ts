/** An evaluation as people read it. */
import { assertEquals } from "@std/assert";
import type { Evaluation } from "../src/evaluation/evaluate.ts";
import type { Share } from "../src/evaluation/restoration.ts";
import { restorationTables } from "../src/evaluation/restoration_table.ts";
import { evaluationTable } from "../src/evaluation/table.ts";

const pixels = { midtones: 0.25, flatGround: 0.5 };
const figures: Evaluation = {
  weights: { source: "mine", hash: "0123456789abcdef" },
  backend: "native",
  heldOutPictures: 40,
  heldOutSha256: "ff",
  region: "the whole picture, 8×8×1",
  epsLoss: {
    mean: 0.125,
    bands: [{ from: 0, to: 9, loss: 0.1, pictures: 7 }, {
      from: 10,
      to: 19,
      loss: 0.15,
      pictures: 7,
    }],
  },
  bits: { total: 3.5, prior: 0.5, kl: 1, decoder: 2, pictures: 4 },
  classifier: { heldOutAccuracy: 0.975, trainedOn: 100, sha256: "aa" },
  frechetOfRealHalves: 0.5,
  kernelOfRealHalves: 0.25,
  realPixels: pixels,
  also: [{ data: "others", heldOutAccuracy: 0.5, trainedOn: 10, sha256: "bb" }],
  nearest: {
    pictures: 64,
    among: 100,
    samples: { least: 3, median: 12.34 },
    heldOut: { least: 5, median: 20 },
  },
  samples: [
    {
      of: "teacher",
      teacher: "big",
      guidance: 2,
      guided: [60, 890],
      scheduler: "dpmpp",
      steps: 20,
      samples: 50,
      readAsLabel: 0.9,
      readAsLabel95: [0.8, 0.95],
      also: [{
        data: "others",
        readAsLabel: 0.4,
        readAsLabel95: [0.3, 0.5],
        readAsLabelByClass: { a: 1, b: 0.25, c: 0, d: 0.5 },
      }],
      frechet: 1.25,
      kernel: 0.5,
      kernelToReal: 2,
      pixels,
    },
    {
      of: "weights",
      guidance: 1,
      scheduler: "ddim",
      steps: 4,
      options: { eta: 1 },
      samples: 50,
      frechet: 2,
      kernel: 1,
      kernelToReal: 3,
      pixels,
      also: [{
        data: "others",
        readAsLabel: 0.2,
        readAsLabel95: [0.1, 0.3],
        readAsLabelByClass: { a: 0.2 },
      }],
      psnrToTeacher: 21.26,
    },
  ],
};

Deno.test("an evaluation's table has every figure, and dashes where there is none", () => {
  assertEquals(evaluationTable(figures).split("\n"), [
    "mine  (0123456789ab)",
    "held-out pictures: 40; pixels: the whole picture, 8×8×1",
    "",
    "timesteps     ε-loss",
    "0–9           0.10000",
    "10–19         0.15000",
    "mean          0.12500  (7 pictures a band)",
    "",
    "bits/dim ≤ 3.5000  (KL 1.0000, decoder 2.0000, prior 0.5000; 4 pictures)",
    "",
    "classifier: 97.50 % of held-out pictures read as their label",
    "guidance     samples  sampler        read as label  95 % interval      Fréchet  kernel  × real  midtones  flat ground  PSNR to teacher",
    "2 at 60-890  50       big: dpmpp 20  90.00 %        80.00 % – 95.00 %  1.250    0.500   2.00    25.00 %   50.00 %",
    "1            50       ddim 4 eta=1   –              –                  2.000    1.000   3.00    25.00 %   50.00 %      21.3 dB",
    "by others, of which 50.00 % are read as their label: big: dpmpp 20 40.00 % (30.00 % – 50.00 %; least: c 0.00 %, b 25.00 %, d 50.00 %); ddim 4 20.00 % (10.00 % – 30.00 %; least: a 20.00 %)",
    "Distances of two halves of the held-out pictures: Fréchet 0.500, kernel 0.250; their midtones 25.00 %, flat grounds 50.00 %",
    "",
    "64 samples are 12.3 (the nearest 3.0) levels of 255 from the nearest of 100 pictures, held-out pictures 20.0 (the nearest 5.0)",
  ]);
  const { weights, backend, heldOutPictures, heldOutSha256, region } = figures;
  const little = { weights, backend, heldOutPictures, heldOutSha256, region, samples: [] };
  assertEquals(evaluationTable(little).split("\n").length, 2, "what was not measured is not shown");
});

Deno.test("a table of restoration has a row a sampler, below what needs none", () => {
  const mean = { mean: 20, within: 0.5 }, similar = { mean: 0.9, within: 0.01 };
  const read = { share: 0.75, interval: [0.3, 0.95] as const };
  const baseline = { task: "noise 0.5", psnr: mean, ssim: similar };
  const score = {
    task: "noise 0.5",
    sampler: "ddrm",
    steps: 20,
    options: { eta: 1 },
    cost: 20,
    pictures: 4,
    psnr: mean,
    ssim: similar,
    residual: 0.98765,
    read,
    majority: { answers: 4, ...read },
    labelled: true,
  };
  const other = { ...score, task: "grey", residual: 1e-7 };
  const table = restorationTables([baseline, { ...baseline, task: "grey" }], [score, other]);
  const of = (scores: Parameters<typeof restorationTables>[1], read?: Share) =>
    restorationTables([{ ...baseline, read }], scores).split("\n");
  const { options: _, majority: __, ...bare } = { ...score, labelled: false };
  assertEquals(of([{ ...bare, read: undefined, residual: 1.23456 }]), [
    "**noise 0.5**",
    "",
    "| sampler | evaluations | PSNR, dB | SSIM | read as its label | majority | rms of y − H x |",
    "|---|---:|---:|---:|---:|---:|---:|",
    "| none: H⁺y over black | 0 | 20.00 ± 0.50 | 0.900 ± 0.010 | – | | |",
    "| `ddrm` 20 | 20 | 20.00 ± 0.50 | 0.900 ± 0.010 | – |  | 1.2 |",
  ]);
  assertEquals(of([], read).at(-1)!.split(" | ")[4], "75.0 % (30.0–95.0) | | |".split(" | ")[0]);
  const residuals = [0.9e-5, 1e-5, 0.05].map((residual) => of([{ ...bare, residual }]).at(-1)!);
  assertEquals(residuals.map((row) => row.split(" | ").at(-1)), ["0 |", "0.000010 |", "0.050 |"]);
  const rows = table.split("\n").filter((line) => line.startsWith("| `"));
  assertEquals(rows, [
    "| `ddrm` 20 eta=1, label given | 20 | 20.00 ± 0.50 | 0.900 ± 0.010 | 75.0 % (30.0–95.0) | 75.0 % (30.0–95.0) (of 4) | 0.99 |",
    "| `ddrm` 20 eta=1, label given | 20 | 20.00 ± 0.50 | 0.900 ± 0.010 | 75.0 % (30.0–95.0) | 75.0 % (30.0–95.0) (of 4) | 0 |",
  ]);
  assertEquals(table.match(/\*\*.*\*\*/g), ["**noise 0.5**", "**grey**"]);
});
