/** ᾱ and log-SNR of noise schedules as curves in an SVG. */
import { logSnr, type Schedule } from "../../diffusion/mod.ts";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const PANEL = { width: 340, height: 230 };
const MARGIN = { left: 48, top: 36, right: 24, bottom: 72 };
/** Shares of T that the horizontal axis names. */
const TIMES = [0, 0.25, 0.5, 0.75, 1];
/** Room for a schedule's name below the panels. */
const LEGEND_WIDTH = 150;
/** What a curve is drawn through; the tables are longer. */
const POINTS = 200;

interface Panel {
  title: string;
  /** Bottom and top of the axis. */
  range: readonly [number, number];
  ticks: readonly number[];
  value(alpha_bar: number): number;
}

const panels: readonly Panel[] = [
  {
    title: "ᾱ, the picture's share",
    range: [0, 1],
    ticks: [0, 0.25, 0.5, 0.75, 1],
    value: (a) => a,
  },
  {
    title: "log SNR, ln(ᾱ/(1−ᾱ))",
    range: [-15, 15],
    ticks: [-15, -10, -5, 0, 5, 10, 15],
    value: (a) => 2 * logSnr(a),
  },
];

/** Schedules by name, one colour each, over t/T. */
export function curvesSvg(schedules: ReadonlyMap<string, Schedule>): string {
  const step = PANEL.width + MARGIN.left + MARGIN.right;
  const width = step * panels.length;
  const height = MARGIN.top + PANEL.height + MARGIN.bottom;
  const parts = panels.map((panel, i) =>
    `<g transform="translate(${i * step + MARGIN.left} ${MARGIN.top})">${
      drawPanel(panel, [...schedules.values()])
    }</g>`
  );
  const names = [...schedules.keys()].map((name, i) => {
    const x = MARGIN.left + LEGEND_WIDTH * i;
    return `<path d="M${x} ${height - 20}h24" stroke="${colour(i)}" stroke-width="2.5"/>` +
      `<text x="${x + 30}" y="${height - 16}">${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ` +
    `width="${width}" height="${height}" font-family="sans-serif" font-size="12">\n` +
    `<rect width="100%" height="100%" fill="#fff"/>\n${[...parts, ...names].join("\n")}\n</svg>\n`;
}

function drawPanel(panel: Panel, schedules: readonly Schedule[]): string {
  const { width, height } = PANEL;
  const [low, high] = panel.range;
  const y = (value: number) =>
    height * (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low));
  const ticks = panel.ticks.map((tick) =>
    `<path d="M0 ${y(tick).toFixed(1)}h${width}" stroke="#e4e4e4"/>` +
    `<text x="-6" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${minus(tick)}</text>`
  );
  const [{ T }] = schedules;
  const times = TIMES.map((share) =>
    `<path d="M${share * width} 0v${height}" stroke="#e4e4e4"/>` +
    `<text x="${share * width}" y="${height + 18}" text-anchor="middle">${
      Math.max(1, Math.round(share * T))
    }</text>`
  );
  const curves = schedules.map(({ T, alphas_cumprod }, i) => {
    const points = Array.from({ length: POINTS }, (_, p) => {
      const t = Math.round(p / (POINTS - 1) * (T - 1));
      const x = T === 1 ? 0 : t / (T - 1) * width;
      return `${x.toFixed(1)},${y(panel.value(alphas_cumprod[t])).toFixed(1)}`;
    });
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${
      colour(i)
    }" stroke-width="2" stroke-linejoin="round"/>`;
  });
  return [
    `<text x="0" y="-14" font-weight="bold">${panel.title}</text>`,
    ...ticks,
    ...times,
    `<path d="M0 0V${height}H${width}" fill="none" stroke="#333"/>`,
    ...curves,
    `<text x="${width / 2}" y="${height + 34}" text-anchor="middle">t</text>`,
  ].join("");
}

function minus(value: number): string {
  return String(value).replace("-", "−");
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length];
}
