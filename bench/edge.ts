/** Every place that denoise runs, measured in one go. */
import { findChromium, measureBrowser } from "./edge/browser.ts";
import { measureCloudflare } from "./edge/cloudflare.ts";
import { measureDeno } from "./edge/deno.ts";
import { referencePixels } from "./edge/library.ts";
import { difference, type Measured } from "./edge/target.ts";
import { measureUrl } from "./edge/url.ts";
import { readWords } from "./flags.ts";

/** WebGPU rounds otherwise: at most this many levels of 255 (the reference's bound). */
const WEBGPU_LEVELS = 6;

const asked = readWords(
  "Every place that denoise runs, measured: a broken budget or a picture that differs is an error.",
  ["deno", "workerd", "browser", "url"],
);
const reference = await referencePixels();
const rows: Measured[] = [];
if (asked.has("url")) rows.push(await measureUrl());
if (asked.has("deno")) rows.push(await measureDeno());
if (asked.has("workerd")) rows.push(await measureCloudflare());
if (asked.has("browser")) {
  const chromium = findChromium();
  if (chromium) rows.push(...await measureBrowser(chromium));
  else console.log("browser: skipped, no chromium is installed (CHROMIUM names one)");
}

const table = rows.map((row) => ({
  target: row.target,
  "cold start": `${(row.coldStart / 1000).toFixed(2)} s`,
  memory: Number.isNaN(row.memory.bytes)
    ? row.memory.of
    : `${(row.memory.bytes / 1e6).toFixed(0)} MB (${row.memory.of})`,
  size: `${(row.size / 1e6).toFixed(1)} MB`,
  "s/image": Number.isNaN(row.secondsAnImage) ? "–" : row.secondsAnImage.toFixed(2),
  "same picture": difference(reference, row.pixels),
  notes: row.notes.join("; "),
}));
const keys = Object.keys(table[0] ?? {}) as (keyof typeof table[number])[];
console.log(`| ${keys.join(" | ")} |\n|${keys.map(() => "---|").join("")}`);
for (const row of table) console.log(`| ${keys.map((key) => row[key]).join(" | ")} |`);

const wrong = rows.filter(({ target, pixels }) => {
  const most = target.includes("WebGPU") ? WEBGPU_LEVELS : 0;
  return pixels.length !== reference.length ||
    pixels.some((level, i) => Math.abs(level - reference[i]) > most);
});
if (wrong.length > 0) {
  console.error(`other pictures: ${wrong.map(({ target }) => target).join(", ")}`);
  Deno.exit(1);
}
