/** The page in a real browser, and its bundle. */
/// <reference lib="dom" />
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { type Browser, chromium, type Page } from "npm:playwright-core@1.65.1";
import { buildAssets } from "../deploy/page.ts";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";

const labels = ["cat", "dog"];

Deno.test("the committed bundle is what the page's sources give", async () => {
  const committed = await Deno.readTextFile(
    new URL("../src/server/page/assets.ts", import.meta.url),
  );
  assert(committed === await buildAssets(), "not current: run `deno task page`");
});

Deno.test("the page names its files by their content, and lets them be kept", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const page = await app.request("/");
  const html = await page.text();
  assertEquals(page.headers.get("cache-control"), "no-cache");
  for (const [, file] of html.matchAll(/(?:href|src)="(page\.\w+\.(?:js|css))"/g)) {
    const response = await app.request(`/${file}`);
    await response.body?.cancel();
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
  }
  assert(html.length < 10_000 && html.includes("page."), "the page is small");
  assertEquals(
    (await createApp({ models: { fake: fakeModel() }, page: false }).request("/")).status,
    404,
  );
});

/** Debian's names and the usual places; CHROMIUM names another. */
async function findChromium(): Promise<string | undefined> {
  const places = [
    Deno.env.get("CHROMIUM"),
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
  ];
  for (const place of places) {
    if (place && await Deno.stat(place).then(() => true, () => false)) return place;
  }
}

const executablePath = await findChromium();
if (!executablePath) {
  console.warn(
    "browser tests are skipped: no Chromium (apt-get install chromium, or set CHROMIUM)",
  );
}

/** A test with the page open on a server of its own; anything on the console's error line fails it. */
function browserTest(
  name: string,
  address: string,
  viewport: { width: number; height: number },
  test: (page: Page, base: URL) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: !executablePath,
    // The browser's own pipes close after its process has gone.
    sanitizeResources: false,
    sanitizeOps: false,
    async fn() {
      const model = fakeModel({ labels, nullLabel: 2, shape: [3, 16, 16], latency: 2 });
      const app = createApp({ models: { fake: model } });
      const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
      const base = new URL(`http://127.0.0.1:${server.addr.port}/`);
      let browser: Browser | undefined;
      try {
        browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
        const page = await browser.newPage({ viewport });
        page.setDefaultTimeout(60_000);
        const errors: string[] = [];
        page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
        page.on("pageerror", (error) => errors.push(error.message));
        await page.goto(new URL(address, base).href);
        await page.waitForSelector("#picture-link:not([hidden])");
        await test(page, base);
        assertEquals(errors, []);
      } finally {
        await browser?.close();
        await server.shutdown();
      }
    },
  });
}

const wide = { width: 1280, height: 900 };
const phone = { width: 390, height: 844 };

/** A canvas' picture, to compare with others. */
function canvasData(page: Page, id: string): Promise<string> {
  return page.evaluate(
    (id) => (document.getElementById(id) as unknown as { toDataURL(): string }).toDataURL(),
    id,
  );
}

const text = (page: Page, id: string) => page.locator(`#${id}`).innerText();

/** The page draws in the next animation frame. */
const drawn = (page: Page) => page.waitForTimeout(100);

browserTest(
  "the slider takes the picture into noise, by keyboard too",
  "?seed=7",
  wide,
  async (page) => {
    await page.locator("#time").fill("-1");
    await drawn(page);
    assertEquals(await text(page, "time-text"), "the picture itself");
    const clean = await canvasData(page, "forward-linear");
    assertEquals(await canvasData(page, "forward-cosine"), clean);
    assertEquals(await text(page, "alpha-linear"), "ᾱ = 1.000");
    await page.locator("#time").fill("499");
    await drawn(page);
    assertEquals(await text(page, "time-text"), "t = 500 of 1000");
    const linear = await canvasData(page, "forward-linear");
    assertNotEquals(linear, clean);
    assertNotEquals(await canvasData(page, "forward-cosine"), linear);
    await page.locator("#time").press("ArrowRight");
    await drawn(page);
    assertEquals(await text(page, "time-text"), "t = 501 of 1000");
    await page.locator("#new-noise").click();
    await drawn(page);
    assertNotEquals(await canvasData(page, "forward-linear"), linear);
  },
);

browserTest(
  "a seed's reverse process is watched live, then step by step",
  "?seed=7&steps=6",
  wide,
  async (page) => {
    assertEquals(await page.locator("#step").getAttribute("max"), "5");
    const finished = await canvasData(page, "x-t");
    assertEquals(await canvasData(page, "x-0"), finished);
    await page.locator("#step").fill("0");
    await drawn(page);
    assert((await text(page, "status")).startsWith("step 1 of 6, t = "));
    assertNotEquals(await canvasData(page, "x-t"), finished);
    await page.locator("#seed").fill("alice@example.com");
    await page.locator("#scheduler").selectOption("dpmpp");
    await page.locator("#label").selectOption("dog");
    await page.locator("#seed").press("Enter");
    await page.waitForFunction(() => document.title.startsWith("alice@example.com"));
    await page.waitForSelector("#picture-link:not([hidden])");
    assert((await text(page, "status")).includes("label dog: dpmpp, 6 steps"));
  },
);

browserTest(
  "an address leads to what it names, and back works",
  "?seed=42&scheduler=heun&steps=4&label=dog",
  phone,
  async (page, base) => {
    assertEquals(await page.locator("#seed").inputValue(), "42");
    assertEquals(await page.locator("#scheduler").inputValue(), "heun");
    assert((await text(page, "status")).includes("seed 42, label dog: heun, 4 steps"));
    await page.locator("#pictures a").nth(3).click();
    await page.waitForFunction(() => document.title.startsWith("3 "));
    assertEquals(new URL(page.url()).searchParams.get("seed"), "3");
    await page.goBack();
    await page.waitForFunction(() => document.title.startsWith("42 "));
    await page.waitForSelector("#picture-link:not([hidden])");
    const link = await page.locator("#picture-link").getAttribute("href");
    const picture = await fetch(new URL(link!, base));
    assertEquals(picture.headers.get("content-type"), "image/png");
    assertEquals(picture.headers.get("cache-control"), "public, max-age=31536000, immutable");
    await picture.body?.cancel();
    const overflow = await page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth
    );
    assertEquals(overflow, 0, "nothing is wider than the phone");
  },
);

browserTest(
  "the wall shows every seed it is scrolled to",
  "?seed=1&steps=2",
  wide,
  async (page) => {
    assertEquals(await page.locator("#pictures img[src]").count(), 0, "nothing is made unseen");
    await page.locator("#pictures").scrollIntoViewIfNeeded();
    await page.waitForFunction(() => {
      const images = [...document.querySelectorAll("#pictures img")] as unknown as {
        complete: boolean;
        naturalWidth: number;
      }[];
      return images.length === 24 && images.every((i) => i.complete && i.naturalWidth === 16);
    });
    await page.locator("#more").click();
    assertEquals(await page.locator("#pictures a").first().innerText(), "24");
    await page.locator("#pictures a").first().press("Enter");
    await page.waitForFunction(() => document.title.startsWith("24 "));
  },
);
