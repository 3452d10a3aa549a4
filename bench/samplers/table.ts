/** The samplers' scores as Markdown. */
import { wilsonInterval } from "../../src/evaluation/interval.ts";
import type { Cell, Row } from "./score.ts";

export interface Report {
  readonly weights: string;
  readonly hash: string;
  readonly samples: number;
  readonly guidance: number;
  readonly heldOutPictures: number;
  /** What sets of as many real pictures score, and the distance's standard deviation among them. */
  readonly real: Pick<Cell, "readAsLabel" | "distance"> & { readonly scatter: number };
  readonly columns: readonly number[];
  readonly rows: readonly Row[];
}

export function markdown(report: Report): string {
  const { columns, rows } = report;
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["evaluations", ...columns.map(String)]),
    `|---|${columns.map(() => "---:|").join("")}`,
    ...rows.map(({ sampler, cells }) => line([`\`${sampler}\``, ...cells.map(cellText)])),
    "",
    caption(report),
  ].join("\n");
}

/** What the figures are, and how sure. */
function caption(report: Report): string {
  const { weights, hash, samples, guidance, heldOutPictures, real } = report;
  const realScore = `${scoreText(real)} ± ${real.scatter.toFixed(2)}`;
  const least = percent(wilsonInterval(1, samples)[0]);
  return [
    `The share of ${samples} samples (\`${weights}\`, ${hash.slice(0, 12)}; seeds 0–${
      samples - 1
    },`,
    `labels in turn, guidance ${guidance}) that a classifier reads as their label, and the kernel`,
    `distance of its features to those of ${
      heldOutPictures.toLocaleString("en")
    } held-out pictures`,
    `(unbiased: chance scatters around 0). ${samples} real pictures give ${realScore}; a share of`,
    `100 % may by chance stand for ${least}. Evaluations a picture are counted at the network; in`,
    "brackets where a sampler cannot make exactly as many.",
  ].join(" ");
}

function cellText(cell: Cell | undefined): string {
  if (!cell) return "–";
  const { allowed, evaluations } = cell;
  return `${scoreText(cell)}${evaluations === allowed ? "" : ` (${evaluations})`}`;
}

function scoreText({ readAsLabel, distance }: Pick<Cell, "readAsLabel" | "distance">): string {
  return `${percent(readAsLabel)} · ${distance.toFixed(2)}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
