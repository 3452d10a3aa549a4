/** Restoration scores as Markdown tables. */
import type { Baseline, Mean, RestorationScore, Share } from "./restoration.ts";

/** A table for each task, a row a sampler, what needs no sampler first. */
export function restorationTables(
  baselines: readonly Baseline[],
  scores: readonly RestorationScore[],
): string {
  return baselines.map((baseline) => {
    const own = scores.filter(({ task }) => task === baseline.task);
    return table(baseline, own);
  }).join("\n\n");
}

function table(baseline: Baseline, scores: readonly RestorationScore[]): string {
  const rows = scores.map((score) => [
    `${samplerText(score)}${score.labelled ? ", label given" : ""}`,
    String(score.cost),
    mean(score.psnr, 2),
    mean(score.ssim, 3),
    shareText(score.read),
    score.majority ? `${shareText(score.majority)} (of ${score.majority.answers})` : "",
    score.residual < 1e-5 ? "0" : score.residual.toPrecision(2),
  ]);
  return [
    `**${baseline.task}**`,
    "",
    "| sampler | evaluations | PSNR, dB | SSIM | read as its label | majority | rms of y − H x |",
    "|---|---:|---:|---:|---:|---:|---:|",
    `| none: H⁺y over black | 0 | ${mean(baseline.psnr, 2)} | ${mean(baseline.ssim, 3)} | ${
      shareText(baseline.read)
    } | | |`,
    ...rows.map((row) => `| ${row.join(" | ")} |`),
  ].join("\n");
}

function samplerText({ sampler, steps, options = {} }: RestorationScore): string {
  const set = Object.entries(options).map(([name, value]) => ` ${name}=${value}`).join("");
  return `\`${sampler}\` ${steps}${set}`;
}

function mean({ mean, within }: Mean, digits: number): string {
  return `${mean.toFixed(digits)} ± ${within.toFixed(digits)}`;
}

function shareText(share?: Share): string {
  if (!share) return "–";
  const percent = (value: number) => (100 * value).toFixed(1);
  return `${percent(share.share)} % (${share.interval.map(percent).join("–")})`;
}
