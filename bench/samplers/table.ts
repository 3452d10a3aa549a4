/** The samplers' scores as Markdown. */
import { wilsonInterval } from "../../src/training/eval/interval.ts";
import type { Cell, Row } from "./score.ts";

export interface Report {
  readonly weights: string;
  readonly hash: string;
  readonly samples: number;
  readonly guidance: number;
  readonly heldOutPictures: number;
  /** What the same number of real pictures scores: no sampler can do better but by chance. */
  readonly real: Pick<Cell, "readAsLabel" | "frechet">;
  readonly columns: readonly number[];
  readonly rows: readonly Row[];
}

export function markdown(report: Report): string {
  const { columns, rows, real, samples, guidance, heldOutPictures, weights, hash } = report;
  const last = samples - 1;
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["evaluations", ...columns.map(String)]),
    `|---|${columns.map(() => "---:|").join("")}`,
    ...rows.map(({ sampler, cells }) => line([`\`${sampler}\``, ...cells.map(cellText)])),
    "",
    `The share of ${samples} samples (\`${weights}\`, ${hash.slice(0, 12)}; seeds 0–${last}, ` +
    `labels in turn, guidance ${guidance}) that a classifier reads as their label, and the Fréchet ` +
    `distance of its features to ${heldOutPictures.toLocaleString("en")} held-out pictures; ` +
    `${samples} real pictures give ${
      scoreText(real)
    }. 100.0 % of so many may by chance stand for ` +
    `${percent(wilsonInterval(1, samples)[0])}. Evaluations a picture are counted at the ` +
    "network; in brackets where a sampler cannot make exactly as many.",
  ].join("\n");
}

function cellText(cell: Cell | undefined): string {
  if (!cell) return "–";
  const { allowed, evaluations } = cell;
  return `${scoreText(cell)}${evaluations === allowed ? "" : ` (${evaluations})`}`;
}

function scoreText({ readAsLabel, frechet }: Report["real"]): string {
  return `${percent(readAsLabel)} · ${frechet.toFixed(2)}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
