/** An evaluation as people read it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Evaluation } from "../src/evaluation/evaluate.ts";
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
  const lines = evaluationTable(figures).split("\n");
  assertEquals(lines.slice(0, 2), [
    "mine  (0123456789ab)",
    "held-out pictures: 40; pixels: the whole picture, 8×8×1",
  ]);
  const text = lines.join("\n");
  for (
    const line of [
      "0–9           0.10000",
      "10–19         0.15000",
      "mean          0.12500  (7 pictures a band)",
      "bits/dim ≤ 3.5000  (KL 1.0000, decoder 2.0000, prior 0.5000; 4 pictures)",
      "classifier: 97.50 % of held-out pictures read as their label",
      "by others, of which 50.00 % are read as their label: big: dpmpp 20 40.00 % (30.00 % – 50.00 %; least: c 0.00 %, b 25.00 %, d 50.00 %); ddim 4 20.00 % (10.00 % – 30.00 %; least: a 20.00 %)",
      "Distances of two halves of the held-out pictures: Fréchet 0.500, kernel 0.250; their midtones 25.00 %, flat grounds 50.00 %",
      "64 samples are 12.3 (the nearest 3.0) levels of 255 from the nearest of 100 pictures, held-out pictures 20.0 (the nearest 5.0)",
    ]
  ) assertStringIncludes(text, line);
  const cells = (start: string) =>
    lines.find((line) => line.startsWith(start))!.split(/ {2,}/).map((cell) => cell.trim());
  assertEquals(cells("2 at "), [
    "2 at 60-890",
    "50",
    "big: dpmpp 20",
    "90.00 %",
    "80.00 % – 95.00 %",
    "1.250",
    "0.500",
    "2.00",
    "25.00 %",
    "50.00 %",
  ]);
  assertEquals(cells("1  "), [
    "1",
    "50",
    "ddim 4 eta=1",
    "–",
    "–",
    "2.000",
    "1.000",
    "3.00",
    "25.00 %",
    "50.00 %",
    "21.3 dB",
  ]);
  const { weights, backend, heldOutPictures, heldOutSha256, region } = figures;
  const little = { weights, backend, heldOutPictures, heldOutSha256, region, samples: [] };
  assertEquals(evaluationTable(little).split("\n").length, 2, "what was not measured is not shown");
});
