/** The page in a real browser, and its bundle. */
/// <reference lib="dom" />
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Hono } from "npm:hono@4.13.19";
import { type Browser, chromium, type Page } from "npm:playwright-core@1.65.1";
import { buildAssets, pages } from "../deploy/page.ts";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";

const labels = ["cat", "dog"];

Deno.test("the committed bundles are what the pages' sources give", async () => {
  for (const page of pages) {
    const committed = await Deno.readTextFile(new URL(`../${page}/assets.ts`, import.meta.url));
    assert(committed === await buildAssets(page), `${page}: run \`deno task build:page\``);
  }
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
    assertEquals(await text(page, "alpha-linear"), "√ᾱ = 1.000");
    await page.locator("#time").fill("499");
    await drawn(page);
    assertEquals(await text(page, "time-text"), "t = 500 of 1000");
    const linear = await canvasData(page, "forward-linear");
    assertNotEquals(linear, clean);
    assertNotEquals(await canvasData(page, "forward-cosine"), linear);
    await page.locator("#time").press("ArrowRight");
    await drawn(page);
    assertEquals(await text(page, "time-text"), "t = 501 of 1000");
    const spoken = await page.locator("#time").getAttribute("aria-valuetext");
    assertEquals(spoken, "t = 501 of 1000");
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

/** A page of its own, on an app of the test's making; a refusal may stand on its console. */
function appTest(
  name: string,
  make: () => { fetch: (request: Request) => Response | Promise<Response> },
  test: (page: Page, base: URL) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: !executablePath,
    sanitizeResources: false,
    sanitizeOps: false,
    async fn() {
      const { fetch } = make();
      const server = Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen() {} },
        (request) => fetch(request),
      );
      let browser: Browser | undefined;
      try {
        browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
        const page = await browser.newPage({ viewport: wide });
        page.setDefaultTimeout(60_000);
        await test(page, new URL(`http://127.0.0.1:${server.addr.port}/`));
      } finally {
        await browser?.close();
        await server.shutdown();
      }
    },
  });
}

appTest(
  "what the server refuses is told in its words",
  () => createApp({ models: { fake: fakeModel({ labels }) }, limits: { publicCostPerMinute: 7 } }),
  async (page, base) => {
    const refusals = [
      ["?seed=-5", "seed: expected an integer from 0 to 4294967295"],
      ["?seed=99999999999", "seed: expected an integer"],
      ["?seed=7&steps=9999", "steps: expected at most"],
      ["?seed=a/b", 'seed: expected a name without "/"'],
    ];
    for (const [address, words] of refusals) {
      await page.goto(new URL(address, base).href);
      await page.waitForFunction(
        (words) => document.getElementById("status")!.textContent!.startsWith(words),
        words,
      );
      assertEquals(await page.locator("#said").textContent(), await text(page, "status"));
    }
    await page.goto(new URL("?seed=1", base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    await page.goto(new URL("?seed=2", base).href);
    await page.waitForFunction(() =>
      document.getElementById("status")!.textContent!.includes("evaluations a minute")
    );
  },
);

appTest(
  "where pictures are signed the page says what is missing",
  () => createApp({ models: { fake: fakeModel() }, signingKey: "secret", pictures: "signed" }),
  async (page, base) => {
    await page.goto(base.href);
    await page.waitForFunction(() =>
      document.getElementById("status")!.textContent!.includes("expected a key")
    );
  },
);

appTest(
  "mounted in another app the page works at its folder, and the folder's name leads there",
  () => new Hono().route("/art/pictures", createApp({ models: { fake: fakeModel({ labels }) } })),
  async (page, base) => {
    await page.goto(new URL("art/pictures?seed=3", base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    assertEquals(page.url(), new URL("art/pictures/?seed=3", base).href);
    assert((await text(page, "status")).startsWith("seed 3, label dog"));
  },
);

appTest(
  "a wall that is still being made leaves the network to the picture that is watched",
  () => {
    const model = fakeModel({ labels, latency: 60, shape: [3, 16, 16] });
    return createApp({ models: { fake: model } });
  },
  async (page, base) => {
    let open = 0, most = 0;
    page.on("request", (request) => {
      if (request.url().includes(".png")) most = Math.max(most, ++open);
    });
    const ended = (request: { url(): string }) => {
      if (request.url().includes(".png")) open--;
    };
    page.on("requestfinished", ended);
    page.on("requestfailed", ended);
    await page.goto(new URL("?seed=1&steps=2", base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    await page.locator("#pictures").scrollIntoViewIfNeeded();
    await page.waitForFunction(() => document.querySelectorAll("#pictures img[src]").length > 2);
    await page.locator("#dice").click();
    const asked = Date.now();
    await page.waitForFunction(() =>
      document.getElementById("status")!.textContent!.startsWith("step 1 of")
    );
    // Two tiles of 8 evaluations each may be under way; 24 were 12 times that.
    const evaluations = (Date.now() - asked) / 60;
    assert(most <= 2, `${most} pictures were asked for at once`);
    assert(evaluations < 100, `the watched picture began after ${evaluations} evaluations`);
    await page.waitForSelector("#picture-link:not([hidden])");
    await page.waitForFunction(() => document.querySelectorAll("#pictures img[src]").length === 24);
  },
);

browserTest(
  "while a picture is made the slider's end is x_0, and its handle stands where the sampler is",
  "?seed=7&steps=6",
  wide,
  async (page) => {
    const places = await page.evaluate(async () => {
      const seen: [number, number, string][] = [];
      const step = document.getElementById("step") as unknown as { value: string; max: string };
      const status = document.getElementById("status")!;
      const observer = new MutationObserver(() => {
        const at = /^step (\d+) of/.exec(status.textContent!)?.[1];
        if (at) seen.push([Number(at), Number(step.value), step.max]);
      });
      observer.observe(status, { childList: true });
      document.getElementById("dice")!.click();
      await new Promise((resolve) => {
        const link = document.getElementById("picture-link") as unknown as { hidden: boolean };
        const wait = () => link.hidden ? setTimeout(wait, 20) : resolve(undefined);
        setTimeout(wait, 20);
      });
      return seen;
    });
    assertEquals(places, [1, 2, 3, 4, 5, 6].map((step) => [step, step - 1, "5"]));
  },
);

browserTest(
  "every control has a name, and a screen reader hears the beginning and the end",
  "?seed=7&steps=6",
  wide,
  async (page) => {
    for (const name of ["seed or name", "scheduler", "steps", "label", "guidance"]) {
      const controls = page.getByLabel(name, { exact: true });
      assertEquals(await controls.count(), 1, name);
      const tag = await controls.evaluate((control) => control.tagName);
      assert(["INPUT", "SELECT"].includes(tag), `${name} names ${tag}`);
    }
    const announced = await page.evaluate(async () => {
      const said: string[] = [];
      const live = [...document.querySelectorAll("output, [role=status], [aria-live]")]
        .filter((element) => element.getAttribute("aria-live") !== "off");
      const observer = new MutationObserver((changes) => {
        for (const { target } of changes) said.push(target.textContent!);
      });
      for (const element of live) {
        observer.observe(element, { childList: true, characterData: true, subtree: true });
      }
      document.getElementById("go")!.click();
      const link = document.getElementById("picture-link") as unknown as { hidden: boolean };
      await new Promise((resolve) => {
        const wait = () => link.hidden ? setTimeout(wait, 20) : resolve(undefined);
        setTimeout(wait, 20);
      });
      const time = document.getElementById("time") as unknown as { value: string };
      time.value = "600";
      document.getElementById("time")!.dispatchEvent(new Event("input"));
      await new Promise((resolve) => setTimeout(resolve, 100));
      return said;
    });
    assertEquals(announced, ["Denoising 7", "Done: seed 7, label dog: ddim, 6 steps"]);
  },
);

Deno.test("texts, errors and the edges of controls stand out from what is behind them", async () => {
  const css = await Deno.readTextFile(new URL("../src/server/page/style.css", import.meta.url));
  const [light, dark] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, body]) =>
    Object.fromEntries([...body.matchAll(/--(\w+): (#\w{6})/g)].map(([, k, v]) => [k, v]))
  );
  const luminance = (colour: string) => {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string) => {
    const [dim, bright] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (bright + 0.05) / (dim + 0.05);
  };
  for (const theme of [light, dark]) {
    for (const text of ["ink", "soft", "linear", "cosine"]) {
      assert(contrast(theme[text], theme.paper) >= 4.5, `--${text} on paper`);
    }
    for (const behind of ["paper", "card"]) {
      assert(contrast(theme.edge, theme[behind]) >= 3, `--edge on ${behind}`);
    }
  }
  assert(css.includes("border: 1px solid var(--edge)"));
});
