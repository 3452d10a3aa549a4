/** The page's repair in a real browser: what is painted, what is asked, what is shown. */
/// <reference lib="dom" />
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { fromPixels, toPixels, withChannels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { createApp } from "../src/server/mod.ts";
import { appTest, labels, pageModel, phone, text } from "./page_browser.ts";
import { fakeModel } from "./server_fake.ts";

import {
  dragMouse,
  missing,
  place,
  repairTest,
  restore,
  row,
  shown,
  SIDE,
  wholePicture,
} from "./page_repair.ts";

repairTest(
  "a hole painted with the mouse is the mask that the server gets; three answers keep the rest",
  async (page, asked) => {
    assertStringIncludes(await text(page, "repair-status"), "% of the picture is missing");
    await page.locator("#clear").click();
    assertEquals(await text(page, "repair-status"), "0 % of the picture is missing");
    await page.locator("#brush").fill("1");
    await dragMouse(page, [3, 4], [9, 4], [9, 5]);
    await page.locator("#erase").click();
    await dragMouse(page, [5, 4], [6, 4]);
    await restore(page);

    const [{ path, fields, files, answers }] = asked;
    assertEquals(path, "/v1/images/edits");
    assertEquals([fields.model, fields.n, fields.steps], ["fake", "3", "20"]);
    assertEquals(missing(files.mask), `${row(3, 4, 4)} ${row(7, 9, 4)} 9,5`);
    const image = withChannels(files.image, 3);
    assertEquals([image.width, image.height], [SIDE, SIDE]);

    const pictures = await shown(page, "#answers canvas");
    const sent = await answers;
    assertEquals(pictures.length, 3);
    for (const [i, { pixels }] of pictures.entries()) {
      assertEquals(pixels, sent[i].pixels, "the answer itself is shown");
      const changed = new Set<string>();
      pixels.forEach((level, at) => {
        const p = Math.floor(at / 3);
        if (level !== image.pixels[at]) changed.add(`${p % SIDE},${Math.floor(p / SIDE)}`);
      });
      assert(changed.size > 0, "something is filled");
      const hole = missing(files.mask).split(" ");
      assert([...changed].every((pixel) => hole.includes(pixel)), "what is known stays");
      for (const other of pictures.slice(i + 1)) assertNotEquals(other.pixels, pixels);
    }
    assertStringIncludes(await text(page, "repair-status"), "three answers by ddrm in 20 steps");
    assertStringIncludes(await page.locator("#said").innerText(), "Done: three answers");
  },
);

repairTest("a hole painted by keys alone; what the brush does is said", async (page, asked) => {
  const said = () => page.locator("#said").textContent();
  await page.locator("#clear").press("Enter");
  await page.locator("#brush").fill("1");
  await page.locator("#easel").focus();
  const keys = ["Space", "ArrowLeft", "ArrowUp"];
  for (const key of keys) await page.keyboard.press(key);
  assertEquals(await said(), "column 8, row 8: known");
  // Held down, space draws: a row of four, and back up a column.
  await page.keyboard.down("Space");
  for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
  assertEquals(await said(), "column 5, row 8: missing");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.up("Space");
  await page.keyboard.press("e");
  assertEquals(await said(), "the brush erases");
  assertEquals(await page.locator("#erase").getAttribute("aria-pressed"), "true");
  for (const key of ["ArrowUp", "ArrowRight", "Space", "e", "Shift+ArrowDown"]) {
    await page.keyboard.press(key);
  }
  assertEquals(await said(), "column 6, row 12: known");
  for (const key of ["+", "Space"]) await page.keyboard.press(key);
  assertEquals(await text(page, "brush-text"), "2");
  assertEquals(await page.locator("#brush-mark").isVisible(), true);
  await restore(page, () => page.locator("#restore").press("Enter"));
  assertEquals(
    missing(asked[0].files.mask),
    `4,7 ${row(6, 7, 7)} 4,8 8,8 ${row(5, 6, 11)} ${row(5, 6, 12)}`,
  );
});

repairTest(
  "a finger paints, and the page does not scroll under it; nothing is wider than the phone",
  async (page, asked) => {
    await page.locator("#clear").tap();
    await page.locator("#brush").fill("1");
    const from = await place(page, 2, 3), to = await place(page, 2, 12);
    const scrolled = await page.evaluate(() => scrollY);
    const session = await page.context().newCDPSession(page);
    const touch = (type: "touchStart" | "touchMove" | "touchEnd", ...touchPoints: typeof from[]) =>
      session.send("Input.dispatchTouchEvent", { type, touchPoints });
    await touch("touchStart", from);
    for (let i = 1; i <= 8; i++) {
      await touch("touchMove", { x: from.x, y: from.y + (to.y - from.y) * i / 8 });
    }
    await touch("touchEnd");
    assertEquals(await page.evaluate(() => scrollY), scrolled);
    // The browser now and then counts a tap that follows sent touches to their gesture.
    await restore(page, () => page.locator("#restore").click());
    const column = Array.from({ length: 10 }, (_, i) => `2,${3 + i}`).join(" ");
    assertEquals(missing(asked[0].files.mask), column);
    const overflow = await page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth
    );
    assertEquals(overflow, 0);
  },
  { context: { viewport: phone, hasTouch: true, isMobile: true } },
);

/** Ways to lose something, what the server is told, and the operator that it then restores by. */
const losses: [string, Record<string, string>, Parameters<typeof operatorOf>[0]][] = [
  ["blur", { blur: "gaussian:1.5" }, { blur: { kind: "gaussian", size: 1.5 } }],
  ["small", { scale: "4" }, { scale: { factor: 4, kernel: "mean" } }],
  ["grey", { colour: "true" }, { colour: true }],
];

repairTest(
  "blurred, small, grey: the server gets what its own operator makes of the picture",
  async (page, asked) => {
    for (const [kind, told, degradation] of losses) {
      await page.locator(`[name=lost][value=${kind}]`).check();
      await restore(page);
      const { path, fields, files } = asked.at(-1)!;
      assertEquals(path, "/v1/restorations");
      for (const [name, value] of Object.entries(told)) assertEquals(fields[name], value);
      const [whole] = await wholePicture(page);
      const operator = operatorOf(degradation, [3, SIDE, SIDE]);
      const y = operator.apply(fromPixels(whole));
      const { pixels } = toPixels(Float32Array.from(y), operator.measured);
      const sent = withChannels(files.image, operator.measured[0] as 1 | 3);
      const most = sent.pixels.reduce((m, level, i) => Math.max(m, Math.abs(level - pixels[i])), 0);
      assert(most <= 1, `${kind}: ${most} levels apart`);
    }
  },
);

repairTest(
  "what was restored lies over what was left; a slider moves between them, by mouse and by keys",
  async (page, asked) => {
    await page.locator("[name=lost][value=noise]").check();
    assertEquals(await text(page, "amount-text"), "σ 0.5, pixels from −1 to 1");
    await page.locator("#amount").press("ArrowRight");
    assertEquals(await page.locator("#wipe-field").isVisible(), false);
    await restore(page);
    assertEquals(asked[0].fields.noise, "0.6");
    const [restored] = await shown(page, "#restored");
    const [first, second] = await asked[0].answers;
    assertEquals(restored.pixels, first.pixels);
    const clip = () =>
      page.locator("#restored").evaluate((restored) =>
        getComputedStyle(restored as unknown as Element).clipPath
      );
    assertStringIncludes(await clip(), "50%");
    await page.locator("#wipe").press("ArrowLeft");
    assertStringIncludes(await clip(), "49%");
    assertEquals(
      await page.locator("#wipe").getAttribute("aria-valuetext"),
      "restored in the right 51 %",
    );
    const box = (await page.locator("#restored").boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.6, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 20);
    await page.mouse.up();
    assertStringIncludes(await clip(), "80%");
    await page.locator("#answers button").nth(1).click();
    assertEquals((await shown(page, "#restored"))[0].pixels, second.pixels);
    assertEquals(
      await page.locator("#answers button").nth(1).getAttribute("aria-pressed"),
      "true",
    );
    // Another amount is another question: the answers go.
    await page.locator("#amount").press("ArrowLeft");
    assertEquals(await page.locator("#answers").isVisible(), false);
    assertEquals(await page.locator("#restored").isVisible(), false);
  },
);

repairTest("an answer that is chosen is painted on in", async (page, asked) => {
  await restore(page);
  await page.locator("#answers button").nth(2).click();
  const [, , third] = await asked[0].answers;
  assertEquals((await shown(page, "#easel"))[0].pixels, third.pixels);
  await page.locator("#brush").fill("1");
  await dragMouse(page, [1, 1], [4, 1]);
  await restore(page);
  assertEquals(withChannels(asked[1].files.image, 3).pixels, third.pixels);
  assertEquals(missing(asked[1].files.mask), row(1, 4, 1));
});

repairTest("every control has a name; all that was made is kept as one picture", async (page) => {
  for (const name of ["brush", "it shows", "has a hole", "is noisy", "your picture"]) {
    assertEquals(await page.locator("#repair").getByLabel(name, { exact: true }).count(), 1, name);
  }
  for (const name of ["erase", "clear", "Fill the hole"]) {
    assertEquals(await page.getByRole("button", { name, exact: true }).count(), 1, name);
  }
  await restore(page);
  for (const i of [1, 2, 3]) {
    assertEquals(await page.getByRole("button", { name: `Answer ${i}, seed` }).count(), 1);
  }
  const download = page.waitForEvent("download");
  await page.locator("#keep").click();
  const file = await download;
  assertEquals(file.suggestedFilename(), "denoise.png");
  const { pixels, width, height, channels } = decodePng(await Deno.readFile(await file.path()));
  const [left, first] = [
    (await shown(page, "#easel"))[0],
    (await shown(page, "#answers canvas"))[0],
  ];
  assertEquals([width, height], [4 * (10 * SIDE + 10) + 10, 10 * SIDE + 20]);
  const at = (column: number, row: number) => {
    const p = row * width + column;
    return [...pixels.subarray(p * channels, p * channels + 3)];
  };
  // The lowest pixel on the left is known: it is there as it was given, and in the first answer.
  const known = 3 * (SIDE - 1) * SIDE;
  assertEquals(at(10, 10 * SIDE + 5), [...left.pixels.subarray(known, known + 3)]);
  assertEquals(at(10 * SIDE + 20, 10 * SIDE + 5), [...first.pixels.subarray(known, known + 3)]);
});

repairTest(
  "a visitor's own picture is fitted, and stays when another seed is drawn",
  async (page, asked) => {
    const width = 40, height = 20;
    const pixels = Uint8Array.from({ length: width * height }, (_, p) => {
      const column = p % width;
      return column < 10 || column >= 30 ? 0 : 200;
    });
    const buffer = Buffer.from(encodePng({ pixels, width, height, channels: 1 }));
    await page.locator("#repair-file").setInputFiles({
      name: "mine.png",
      mimeType: "image/png",
      buffer,
    });
    await page.locator("#dice").click();
    await page.waitForSelector("#picture-link:not([hidden])");
    await page.locator("#repair-label").selectOption("dog");
    await restore(page);
    const [{ fields, files }] = asked;
    assertEquals(fields.label, "dog");
    assertEquals([files.image.width, files.image.height], [SIDE, SIDE]);
    const middle = withChannels(files.image, 1);
    assert(middle.pixels.every((level) => Math.abs(level - 200) <= 1), "its middle, cut square");
    await page.locator("#repair-file").setInputFiles({
      name: "x.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("no picture"),
    });
    await page.waitForFunction(() =>
      document.getElementById("repair-status")!.textContent!.startsWith("that is not a picture")
    );
  },
);

appTest(
  "what the server refuses is told in its words; no hole is told before it is asked",
  () => createApp({ models: { fake: pageModel() }, limits: { publicCostPerMinute: 30 } }),
  async (page, base) => {
    await page.goto(new URL("?seed=7&steps=2", base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    const posts: string[] = [];
    page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
    await page.locator("#clear").click();
    await page.locator("#restore").click();
    await page.waitForSelector("#repair-status.error");
    assertStringIncludes(await text(page, "repair-status"), "Paint a hole");
    assertEquals(posts, []);
    await dragMouse(page, [2, 2], [5, 5]);
    assertEquals(await page.locator("#repair-status.error").count(), 0);
    await page.locator("#restore").click();
    await page.waitForFunction(() =>
      document.getElementById("repair-status")!.textContent!.includes("evaluations a minute")
    );
    assertEquals(await page.locator("#said").textContent(), await text(page, "repair-status"));
    assertEquals(await page.locator("#restore").isEnabled(), true);
  },
);

appTest(
  "a network that breaks in the middle is told where the answers would be",
  () => {
    let broken = false;
    const model = fakeModel({
      labels,
      nullLabel: 2,
      shape: [3, SIDE, SIDE],
      before(_, batch) {
        if (batch === 3) broken = true;
        if (broken) throw new Error("the engine is gone");
      },
    });
    return createApp({ models: { fake: model } });
  },
  async (page, base) => {
    await page.goto(new URL("?seed=7&steps=2", base).href);
    await page.waitForSelector("#picture-link:not([hidden])");
    await page.locator("#restore").click();
    await page.waitForSelector("#repair-status.error");
    const words = await text(page, "repair-status");
    assert(words.length > 10 && !words.includes("at "), words);
  },
);

/** Weights that know four timesteps. */
function student() {
  const model = pageModel();
  return {
    ...model,
    scheduler: { ...model.scheduler, timestep_spacing: "trailing" as const },
    distilled: { teacher: "fake", guidance: 2, steps: 4 },
    recommended: { scheduler: "ddim", steps: 4 },
  };
}

const taught = { student: student() };
appTest(
  "few-step weights alone: the page says why it restores nothing",
  () => createApp({ models: taught }),
  async (page, base) => {
    await page.goto(base.href);
    await page.waitForSelector("#picture-link:not([hidden])");
    assertEquals(await page.locator("#repair-stage").isVisible(), false);
    assertStringIncludes(await text(page, "repair-none"), "distilled from");
    assertEquals(await page.locator("#guidance-field").isVisible(), false);
  },
);

repairTest(
  "beside their teacher few-step weights draw, and the teacher restores",
  async (page, asked) => {
    await restore(page);
    assertEquals(asked[0].fields.model, "teacher");
    assertEquals((await asked[0].answers).length, 3);
  },
  { models: { ...taught, teacher: pageModel() } as never },
);
