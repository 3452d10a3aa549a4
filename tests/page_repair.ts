/** What the tests of the page's repair paint, ask and look at. */
/// <reference lib="dom" />
import { assertEquals } from "@std/assert";
import type { Page } from "npm:playwright-core@1.65.1";
import { type Pixels, withChannels } from "../src/image/pixels.ts";
import { decodePng } from "../src/image/png.ts";
import { createApp } from "../src/server/mod.ts";
import { browserTest, pageModel, wide } from "./page_browser.ts";
import { decode, parseEvents } from "./server_http.ts";

export const SIDE = 16;

export interface Asked {
  readonly path: string;
  readonly fields: Record<string, string>;
  readonly files: Record<string, Pixels>;
  /** The finished pictures, by index. */
  readonly answers: Promise<Pixels[]>;
}

/** An app, and what its page asked it to restore. */
export function recording(models = { fake: pageModel() }) {
  const app = createApp({ models });
  const asked: Asked[] = [];
  const fetch = async (request: Request) => {
    if (request.method !== "POST") return await app.fetch(request);
    const form = await request.clone().formData();
    const response = await app.fetch(request);
    const fields: Record<string, string> = {}, files: Record<string, Pixels> = {};
    for (const [name, value] of form) {
      if (typeof value === "string") fields[name] = value;
      else files[name] = decodePng(new Uint8Array(await value.arrayBuffer()));
    }
    const answers = response.clone().text().then((body) => {
      const done = parseEvents(body).filter(({ event }) => event.endsWith(".completed"))
        .map(({ data }) => JSON.parse(data)).sort((a, b) => a.index - b.index);
      return done.map(({ b64_json }) => decodePng(decode(b64_json)));
    });
    asked.push({ path: new URL(request.url).pathname, fields, files, answers });
    return response;
  };
  return { app: { fetch }, asked };
}

/** A test with the page open, which is told what was asked. */
export function repairTest(
  name: string,
  test: (page: Page, asked: Asked[]) => Promise<void>,
  { models = { fake: pageModel() }, context = { viewport: wide } as Record<string, unknown> } = {},
): void {
  const { app, asked } = recording(models);
  browserTest(name, "?seed=7&steps=2", context, (page) => test(page, asked), () => app);
}

/** Asks, and waits for the answers. */
export async function restore(
  page: Page,
  press = () => page.locator("#restore").click(),
): Promise<void> {
  await press();
  await page.waitForSelector("#keep:not([hidden]), #repair-status.error");
  assertEquals(await page.locator("#repair-status.error").allInnerTexts(), []);
}

/** "1,2 3,4": which pixels of a mask are missing, columns and rows. */
export function missing({ pixels, width, channels }: Pixels): string {
  const area = pixels.length / channels;
  const holes = Array.from({ length: area }, (_, p) => p)
    .filter((p) => pixels[(p + 1) * channels - 1] === 0);
  return holes.map((p) => `${p % width},${Math.floor(p / width)}`).join(" ");
}

/** The colours of a canvas on the page. */
export async function shown(page: Page, selector: string): Promise<Pixels[]> {
  const all = await page.locator(selector).evaluateAll((found) =>
    (found as unknown as HTMLCanvasElement[]).map((canvas) => {
      const { width, height } = canvas;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
      return { pixels: [...data], width, height, channels: 4 };
    })
  );
  return all.map((picture) =>
    withChannels({ ...picture, pixels: Uint8Array.from(picture.pixels) }, 3)
  );
}

/** Where a pixel of the picture is on the screen. */
export async function place(
  page: Page,
  column: number,
  row: number,
): Promise<{ x: number; y: number }> {
  await page.locator("#easel").scrollIntoViewIfNeeded();
  const { x, y, width, height } = (await page.locator("#easel").boundingBox())!;
  return { x: x + (column + 0.5) * width / SIDE, y: y + (row + 0.5) * height / SIDE };
}

export async function dragMouse(page: Page, ...points: [number, number][]): Promise<void> {
  for (const [i, [column, row]] of points.entries()) {
    const { x, y } = await place(page, column, row);
    await page.mouse.move(x, y, { steps: i === 0 ? 1 : 6 });
    if (i === 0) await page.mouse.down();
  }
  await page.mouse.up();
}

export const row = (from: number, to: number, y: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${from + i},${y}`).join(" ");

/** The picture that is damaged, as the server draws it. */
export async function wholePicture(page: Page): Promise<Pixels[]> {
  const png = await fetch(new URL("v1/images/7.png?steps=2", page.url()));
  return [withChannels(decodePng(new Uint8Array(await png.arrayBuffer())), 3)];
}
