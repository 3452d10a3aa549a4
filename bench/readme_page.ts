/** Takes the README's picture of the page: a hero without a head, and three answers. Wants Chromium. */
/// <reference lib="dom" />
import { chromium } from "npm:playwright-core@1.65.1";
import { load } from "../mod.ts";
import { createApp } from "../src/server/mod.ts";
import { readFlags } from "./flags.ts";

const { chromium: executablePath, seed, label, column, row } = readFlags(
  "Draws docs/page.png: a hole painted into a hero on the page, and what fills it.",
  {
    chromium: ["/usr/bin/chromium", "the browser"],
    seed: [60, "the hero's seed"],
    label: ["", "its label; empty is the seed's own"],
    column: [16, "the middle of the hole, of 32 pixels from the left"],
    row: [8, "the middle of the hole, from the top"],
  },
);

const SIDE = 32, BRUSH = 7, MARGIN = 16;

await using heroes4 = await load("heroes-4", { backend: "simd" });
await using heroes = await load("heroes", { backend: "simd" });
const app = createApp({ models: { "heroes-4": heroes4, heroes } });
const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 700, height: 1000 } });
  page.setDefaultTimeout(240_000);
  const query = new URLSearchParams({ seed: `${seed}`, ...label && { label } });
  await page.goto(`http://127.0.0.1:${server.addr.port}/?${query}`);
  await page.waitForSelector("#picture-link:not([hidden])");
  await page.locator("#brush").fill(`${BRUSH}`);
  await page.locator("#easel").scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await page.locator("#easel").boundingBox())!;
  await page.mouse.move(x + (column + 0.5) * width / SIDE, y + (row - 0.5) * height / SIDE);
  await page.mouse.down();
  await page.mouse.move(x + (column + 0.5) * width / SIDE, y + (row + 1.5) * height / SIDE);
  await page.mouse.up();
  await page.locator("#restore").click();
  await page.waitForSelector("#keep:not([hidden]), #repair-status.error");
  await page.mouse.move(0, 0);
  const stage = (await page.locator("#repair-stage").boundingBox())!;
  const all = (await page.locator("#repair").boundingBox())!;
  await page.screenshot({
    path: new URL("../docs/page.png", import.meta.url).pathname,
    fullPage: true,
    clip: {
      x: stage.x - MARGIN,
      y: stage.y - MARGIN + await page.evaluate(() => scrollY),
      width: stage.width + 2 * MARGIN,
      height: all.y + all.height - stage.y + MARGIN,
    },
  });
} finally {
  await browser.close();
  await server.shutdown();
}
