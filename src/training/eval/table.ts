/** An evaluation as a person reads it. */
import type { Evaluation } from "./evaluate.ts";

export function evaluationTable(evaluation: Evaluation): string {
  const { weights, heldOutPictures, region, epsLoss, bits, classifier, samples } = evaluation;
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
      `classifier: ${percent(classifier.heldOutAccuracy)} of held-out pictures read right`,
    );
    lines.push("guidance  samples  steps  read as label  Fréchet distance");
    for (const { guidance, samples: n, scheduler, steps, readAsLabel, frechet } of samples) {
      lines.push(
        `${String(guidance).padEnd(8)}  ${String(n).padEnd(7)}  ${
          `${scheduler} ${steps}`.padEnd(5)
        }  ${(readAsLabel === undefined ? "–" : percent(readAsLabel)).padEnd(13)}  ${
          frechet.toFixed(3)
        }`,
      );
    }
    lines.push(
      `two halves of the held-out pictures: ${evaluation.frechetOfRealHalves!.toFixed(3)}`,
    );
  }
  return lines.join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
