/** ᾱ and log-SNR of noise schedules as curves in an SVG. */
import { logSnr, type Schedule } from "../diffusion/mod.ts";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const PANEL = { width: 320, height: 220 };
const MARGIN = { left: 48, top: 34, right: 14, bottom: 40 };
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
  { title: "ᾱ, the picture's share", range: [0, 1], ticks: [0, 0.5, 1], value: (a) => a },
  {
    title: "log SNR, ln(ᾱ/(1−ᾱ))",
    range: [-15, 15],
    ticks: [-15, 0, 15],
    value: (a) => 2 * logSnr(a),
  },
];

/** Schedules by name, one colour each, over t/T. */
export function curvesSvg(schedules: ReadonlyMap<string, Schedule>): string {
  const step = PANEL.width + MARGIN.left + MARGIN.right;
  const width = step * panels.length;
  const height = MARGIN.top + PANEL.height + MARGIN.bottom + 20 * schedules.size;
  const parts = panels.map((panel, i) =>
    `<g transform="translate(${i * step + MARGIN.left} ${MARGIN.top})">${
      drawPanel(panel, [...schedules.values()])
    }</g>`
  );
  const names = [...schedules.keys()].map((name, i) => {
    const y = MARGIN.top + PANEL.height + MARGIN.bottom + 20 * i;
    return `<path d="M${MARGIN.left} ${y}h24" stroke="${colour(i)}" stroke-width="2"/>` +
      `<text x="${MARGIN.left + 32}" y="${y + 4}">${name}</text>`;
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
    `<path d="M0 ${y(tick)}h${width}" stroke="#ddd"/>` +
    `<text x="-6" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`
  );
  const curves = schedules.map(({ T, alphas_cumprod }, i) => {
    const points = Array.from({ length: POINTS }, (_, p) => {
      const t = Math.round(p / (POINTS - 1) * (T - 1));
      const x = T === 1 ? 0 : t / (T - 1) * width;
      return `${x.toFixed(1)},${y(panel.value(alphas_cumprod[t])).toFixed(1)}`;
    });
    return `<polyline points="${points.join(" ")}" fill="none" stroke="${
      colour(i)
    }" stroke-width="2"/>`;
  });
  return [
    `<text x="0" y="-14" font-weight="bold">${panel.title}</text>`,
    ...ticks,
    `<path d="M0 0V${height}H${width}" fill="none" stroke="#333"/>`,
    ...curves,
    `<text x="${width}" y="${height + 18}" text-anchor="end">t = T</text>`,
    `<text x="0" y="${height + 18}">t = 1</text>`,
  ].join("");
}

function colour(i: number): string {
  return COLOURS[i % COLOURS.length];
}
