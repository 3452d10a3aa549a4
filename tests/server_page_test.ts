/** The page in a real browser, and its bundle. */
/// <reference lib="dom" />
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { buildAssets, pages } from "../deploy/page.ts";
import { createApp } from "../src/server/mod.ts";
import { browserTest, canvasData, drawn, phone, text, wide } from "./page_browser.ts";
import { fakeModel } from "./server_fake.ts";

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
  assert(html.length < 13_000 && html.includes("page."), "the page is small");
  assertEquals(
    (await createApp({ models: { fake: fakeModel() }, page: false }).request("/")).status,
    404,
  );
});

browserTest(
  "the slider takes the picture into noise, by keyboard too",
  "?seed=7",
  { viewport: wide },
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
  { viewport: wide },
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
  { viewport: phone },
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
  { viewport: wide },
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

browserTest(
  "while a picture is made the slider's end is x_0, and its handle stands where the sampler is",
  "?seed=7&steps=6",
  { viewport: wide },
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
  { viewport: wide },
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
