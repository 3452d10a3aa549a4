/** The page in a real browser: Chromium driven by Playwright, with an app of the test's making. */
/// <reference lib="dom" />
import { assertEquals } from "@std/assert";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "npm:playwright-core@1.65.1";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";

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

export const wide = { width: 1280, height: 900 };
export const phone = { width: 390, height: 844 };

/** The classes of {@link pageModel}. */
export const labels = ["cat", "dog"];

/** What the page is shown with: 16×16 in colour. */
export const pageModel = () => fakeModel({ labels, nullLabel: 2, shape: [3, 16, 16], latency: 2 });

let browser: Browser | undefined;

/** One browser for a file's tests, which share nothing in it: each has a context of its own. */
async function openBrowser(): Promise<Browser> {
  if (!browser?.isConnected()) {
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  }
  return browser;
}

Deno.test.afterAll(async () => {
  await browser?.close();
});

interface App {
  fetch(request: Request): Response | Promise<Response>;
}

/** A test with a page, and a server for an app of its own; a refusal may stand on its console. */
export function appTest(
  name: string,
  make: () => App,
  test: (page: Page, base: URL) => Promise<void>,
  context: BrowserContextOptions = { viewport: wide },
): void {
  Deno.test({
    name,
    ignore: !executablePath,
    // The browser's own pipes close after its process has gone.
    sanitizeResources: false,
    sanitizeOps: false,
    async fn() {
      const app = make();
      const server = Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen() {} },
        (request) => app.fetch(request),
      );
      let place: BrowserContext | undefined;
      try {
        place = await (await openBrowser()).newContext(context);
        const page = await place.newPage();
        // A machine with other work takes its time.
        page.setDefaultTimeout(240_000);
        await test(page, new URL(`http://127.0.0.1:${server.addr.port}/`));
      } finally {
        await place?.close();
        await server.shutdown();
      }
    },
  });
}

/** A test with the page open and its picture done; anything on the console's error line fails it. */
export function browserTest(
  name: string,
  address: string,
  context: BrowserContextOptions,
  test: (page: Page, base: URL) => Promise<void>,
  make: () => App = () => createApp({ models: { fake: pageModel() } }),
): void {
  appTest(name, make, async (page, base) => {
    const errors: string[] = [];
    page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(new URL(address, base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    await test(page, base);
    assertEquals(errors, []);
  }, context);
}

/** A canvas' picture, to compare with others. */
export function canvasData(page: Page, id: string): Promise<string> {
  return page.evaluate(
    (id) => (document.getElementById(id) as unknown as { toDataURL(): string }).toDataURL(),
    id,
  );
}

/** What an element says. */
export const text = (page: Page, id: string): Promise<string> => page.locator(`#${id}`).innerText();

/** The page draws in the next animation frame. */
export const drawn = (page: Page): Promise<void> => page.waitForTimeout(100);
