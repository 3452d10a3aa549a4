/** An evaluation as a text table. */
import { guidedText } from "../diffusion/guided.ts";
import type { Evaluation } from "./evaluate.ts";
import type { Nearness } from "./nearest.ts";
import type { SampleScore } from "./score.ts";

export function evaluationTable(evaluation: Evaluation): string {
  const { weights, heldOutPictures, region, epsLoss, bits, classifier, samples, nearest } =
    evaluation;
  const lines = [
    `${weights.source}  (${weights.hash.slice(0, 12)})`,
    `held-out pictures: ${heldOutPictures}; pixels: ${region}`,
  ];
  if (epsLoss) {
    lines.push("", "timesteps     ε-loss");
    for (const { from, to, loss } of epsLoss.bands) {
      lines.push(`${`${from}–${to}`.padEnd(12)}  ${loss.toFixed(5)}`);
    }
    lines.push(
      `mean          ${epsLoss.mean.toFixed(5)}  (${epsLoss.bands[0].pictures} pictures a band)`,
    );
  }
  if (bits) {
    const part = (x: number) => x.toFixed(4);
    lines.push(
      "",
      `bits/dim ≤ ${part(bits.total)}  (KL ${part(bits.kl)}, decoder ${part(bits.decoder)}, prior ${
        part(bits.prior)
      }; ${bits.pictures} pictures)`,
    );
  }
  if (classifier) {
    lines.push(
      "",
      `classifier: ${percent(classifier.heldOutAccuracy)} of held-out pictures read as their label`,
      ...columns([
        [
          "guidance",
          "samples",
          "sampler",
          "read as label",
          "95 % interval",
          "Fréchet",
          "kernel",
          "× real",
          "midtones",
          "flat ground",
          "PSNR to teacher",
        ],
        ...samples.map(sampleRow),
      ]),
      ...alsoLines(evaluation),
      `Distances of two halves of the held-out pictures: Fréchet ${
        evaluation.frechetOfRealHalves!.toFixed(3)
      }, kernel ${evaluation.kernelOfRealHalves!.toFixed(3)}; their midtones ${
        percent(evaluation.realPixels!.midtones)
      }, flat grounds ${percent(evaluation.realPixels!.flatGround)}`,
    );
  }
  if (nearest) {
    const { pictures, among } = nearest;
    const text = ({ median, least }: Nearness) =>
      `${median.toFixed(1)} (the nearest ${least.toFixed(1)})`;
    lines.push(
      "",
      `${pictures} samples are ${
        text(nearest.samples)
      } levels of 255 from the nearest of ${among} pictures, held-out pictures ${
        text(nearest.heldOut)
      }`,
    );
  }
  return lines.join("\n");
}

/** How the other classifiers read the same samples: a line each. */
function alsoLines({ also = [], samples }: Evaluation): string[] {
  return also.map(({ data, heldOutAccuracy }, i) => {
    const shares = samples.map((score) => {
      const { readAsLabel, readAsLabel95, readAsLabelByClass } = score.also![i];
      return `${samplerOf(score)} ${percent(readAsLabel)} (${
        readAsLabel95.map(percent).join(" – ")
      }; ${leastRead(readAsLabelByClass)})`;
    });
    return `by ${data}, of which ${percent(heldOutAccuracy)} are read as their label: ${
      shares.join("; ")
    }`;
  });
}

/** The classes that are read least, where some are read worse than others. */
function leastRead(byClass: Readonly<Record<string, number>>): string {
  const least = Object.entries(byClass).toSorted(([, a], [, b]) => a - b).slice(0, 3);
  return `least: ${least.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}`;
}

function samplerOf({ teacher, scheduler, steps }: SampleScore): string {
  return `${teacher === undefined ? "" : `${teacher}: `}${scheduler} ${steps}`;
}

function sampleRow(score: SampleScore): string[] {
  const { guidance, guided, samples, options = {}, frechet } = score;
  const set = Object.entries(options).map(([name, value]) => ` ${name}=${value}`).join("");
  return [
    guided === undefined ? String(guidance) : `${guidance} at ${guidedText(guided)}`,
    String(samples),
    `${samplerOf(score)}${set}`,
    score.readAsLabel === undefined ? "–" : percent(score.readAsLabel),
    score.readAsLabel95?.map(percent).join(" – ") ?? "–",
    frechet.toFixed(3),
    score.kernel.toFixed(3),
    score.kernelToReal.toFixed(2),
    percent(score.pixels.midtones),
    percent(score.pixels.flatGround),
    score.psnrToTeacher === undefined ? "" : `${score.psnrToTeacher.toFixed(1)} dB`,
  ];
}

/** Rows of text, each column as wide as its widest cell. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd());
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
