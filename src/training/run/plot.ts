/** The loss of a run as a picture. */
import type { LogLine } from "./log.ts";

const WIDTH = 720, HEIGHT = 360;
const MARGIN = { left: 64, right: 16, top: 28, bottom: 40 };
/** Each point of the curve is the mean of a stretch of the run. */
const POINTS = 200;

/** An SVG of the mean loss over the updates, on a logarithmic scale. */
export function lossPlot(lines: readonly Pick<LogLine, "step" | "loss">[]): string {
  const points = stretches(lines);
  const losses = points.map(({ loss }) => Math.log10(loss));
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const last = points.at(-1)?.step ?? 1;
  const x = (step: number) => MARGIN.left + step / last * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (log: number) =>
    MARGIN.top + (high - log) / Math.max(1e-9, high - low) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const path = points.map(({ step }, i) => `${x(step).toFixed(1)},${y(losses[i]).toFixed(1)}`);
  const bottom = HEIGHT - MARGIN.bottom;
  const levels = points.length === 0 ? [] : [0, 1, 2, 3, 4].map((i) => low + (high - low) * i / 4);
  const words = labelsOf(levels.map((log) => 10 ** log));
  const marks = new Set([0, 1, 2, 3, 4].map((i) => Math.round(last * i / 4)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    ...levels.map((log, i) =>
      `<path d="M${MARGIN.left} ${y(log).toFixed(1)}H${WIDTH - MARGIN.right}" stroke="#ddd"/>` +
      `<text x="${MARGIN.left - 6}" y="${(y(log) + 4).toFixed(1)}" text-anchor="end">${
        words[i]
      }</text>`
    ),
    ...[...marks].map((step) =>
      `<text x="${x(step).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${step}</text>`
    ),
    `<text x="${WIDTH / 2}" y="${HEIGHT - 6}" text-anchor="middle">update</text>`,
    `<text x="${MARGIN.left}" y="16">loss (mean of ${
      Math.ceil(lines.length / POINTS)
    } updates)</text>`,
    `<polyline fill="none" stroke="#1f5fa8" stroke-width="1.5" points="${path.join(" ")}"/>`,
    "</svg>\n",
  ].join("\n");
}

/** Numbers with as many digits as tell them apart, two or more. */
function labelsOf(values: readonly number[]): string[] {
  const written = (digits: number) => values.map((value) => value.toPrecision(digits));
  const enough = [2, 3, 4].find((digits) => new Set(written(digits)).size === values.length);
  return written(enough ?? 4);
}

function stretches(lines: readonly Pick<LogLine, "step" | "loss">[]) {
  const length = Math.max(1, Math.ceil(lines.length / POINTS));
  return Array.from({ length: Math.ceil(lines.length / length) }, (_, i) => {
    const part = lines.slice(i * length, (i + 1) * length);
    const loss = part.reduce((sum, line) => sum + line.loss, 0) / part.length;
    return { step: part.at(-1)!.step, loss: Math.max(loss, Number.MIN_VALUE) };
  });
}
