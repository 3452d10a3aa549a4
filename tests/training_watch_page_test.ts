/** The page of a run: its words, and in a browser what it shows of a run that goes on. */
/// <reference lib="dom" />
import { assert, assertEquals } from "@std/assert";
import { watchApp } from "../src/cli/watch/app.ts";
import { duration, lossText, speedText, stageText, statusOf } from "../src/cli/watch/page/words.ts";
import { RunFolder, type RunState, type StageState } from "../src/cli/watch/run_state.ts";
import { encodePng } from "../src/image/png.ts";
import { lossPlot } from "../src/training/run/plot.ts";
import { appTest, text } from "./page_browser.ts";

const stageOf = (more: Partial<StageState> = {}): StageState => ({
  name: "",
  done: 0,
  grids: [],
  ...more,
});
const stateOf = (more: Partial<RunState> = {}): RunState => ({
  name: "mine",
  stages: [stageOf()],
  current: 0,
  done: 0,
  ...more,
});

Deno.test("about how long: whole seconds, minutes, hours", () => {
  const cases: [number, string][] = [
    [0, "0 s"],
    [0.2, "1 s"],
    [58.5, "59 s"],
    [59.2, "1 min"],
    [60, "1 min"],
    [89, "1 min"],
    [91, "2 min"],
    [3569, "59 min"],
    [3571, "1 h 0 min"],
    [3720, "1 h 2 min"],
    [90_000, "25 h 0 min"],
  ];
  for (const [seconds, expected] of cases) assertEquals(duration(seconds), expected, `${seconds}`);
});

Deno.test("where a run is: before its first update, on its way, at its end, or stopped before it", () => {
  const at = (more: Partial<RunState>, ended = false) => statusOf(stateOf(more), ended);
  assertEquals(at({ updates: 10 }), "before the first update");
  assertEquals(at({ updates: 10 }, true), "ended before the first update");
  const way = { done: 1500, updates: 20_000 };
  assertEquals(at(way), "1,500 of 20,000 updates");
  assertEquals(at({ ...way, secondsLeft: 90 }), "1,500 of 20,000 updates, about 2 min left");
  const stopped = "1,500 of 20,000 updates, stopped; train --resume goes on with it";
  assertEquals(at({ ...way, secondsLeft: 90 }, true), stopped);
  for (const ended of [false, true]) {
    assertEquals(at({ done: 10, updates: 10, secondsLeft: 0 }, ended), "10 of 10 updates, done");
    assertEquals(at({ done: 11, updates: 10 }, ended), "11 of 10 updates, done");
  }
  assertEquals(at({ done: 3 }), "3 updates");
  const stages = [stageOf({ name: "guided" }), stageOf({ name: "steps-4" })];
  assertEquals(at({ ...way, stages, current: 1 }), "steps-4: 1,500 of 20,000 updates");
});

Deno.test("a stage, its loss and its speed; a dash before there is any", () => {
  assertEquals(stageText(stageOf({ name: "steps-4", done: 1000 })), "steps-4 1,000");
  assertEquals(stageText(stageOf({ name: "a", done: 1, updates: 2000 })), "a 1 / 2,000");
  assertEquals([lossText(stageOf()), speedText(stageOf())], ["–", "–"]);
  assertEquals(lossText(stageOf({ loss: 0.0123456 })), "0.01235");
  const speeds = [0.4, 12.5, 999.4, 999.6, 1234].map((msPerUpdate) =>
    speedText(stageOf({ msPerUpdate }))
  );
  assertEquals(speeds, ["0 ms", "13 ms", "999 ms", "1.00 s", "1.23 s"]);
});

const picture = (level: number) =>
  encodePng({ pixels: new Uint8Array(64).fill(level), width: 8, height: 8, channels: 1 });

let state = stateOf(), ended = false;
const asked: string[] = [];

/** A run whose state the test decides. */
class ToldRun extends RunFolder {
  override state = () => Promise.resolve(state);
  override plot = (stage: string) => {
    asked.push(`plot ${stage}`);
    return Promise.resolve(lossPlot([1, 2].map((step) => ({ step, loss: 1 / step }))));
  };
  override grid = (stage: string, update: number) => {
    asked.push(`grid ${stage} ${update}`);
    return Promise.resolve(picture(update) as Uint8Array<ArrayBuffer>);
  };
}

appTest(
  "the page follows a run: newest samples, stages to choose from, older samples by the slider, the end",
  () => watchApp(new ToldRun("mine"), { ended: () => ended }),
  async (page, base) => {
    const shows = (id: string, expected: string) =>
      page.waitForFunction(
        ([id, expected]) => document.getElementById(id)?.textContent === expected,
        [id, expected] as const,
      );
    const hidden = (id: string) => page.locator(`#${id}`).isHidden();
    const source = () => page.locator("#grid").getAttribute("src");
    await page.goto(base.href);
    await shows("status", "before the first update");
    assertEquals(await text(page, "name"), "mine");
    assertEquals([await hidden("grid"), await hidden("stages"), await hidden("back")], [
      ...[true, true, true],
    ]);
    assertEquals(asked, [], "nothing to fetch yet");

    const guided = stageOf({ name: "guided", done: 20, updates: 20, grids: [10, 20], loss: 0.5 });
    const student = stageOf({ name: "steps-4", updates: 30 });
    const second = { ...student, done: 5, grids: [0, 5], loss: 0.25, msPerUpdate: 12 };
    state = stateOf({ stages: [guided, student], done: 20, updates: 50, secondsLeft: 30 });
    await shows("status", "guided: 20 of 50 updates, about 30 s left");
    assertEquals(await page.title(), "guided: 20 of 50 updates, about 30 s left · mine");
    assertEquals(await page.locator("#progress").getAttribute("value"), "0.4");
    assertEquals(await source(), "samples/20.png?stage=guided");
    assertEquals(
      await page.locator("#grid").getAttribute("alt"),
      "Sixteen samples after 20 updates",
    );
    assertEquals([await text(page, "loss"), await text(page, "speed")], ["0.5000", "–"]);
    const buttons = page.locator("#stages button");
    assertEquals(await buttons.allInnerTexts(), ["guided 20 / 20", "steps-4 0 / 30"]);
    assertEquals(await buttons.nth(1).isDisabled(), true, "it has not begun");
    await page.waitForSelector("#plot svg");

    state = stateOf({ stages: [guided, second], current: 1, done: 25, updates: 50 });
    await shows("status", "steps-4: 25 of 50 updates");
    assertEquals(await source(), "samples/5.png?stage=steps-4");
    assertEquals([await text(page, "loss"), await text(page, "speed")], ["0.2500", "12 ms"]);
    assertEquals(await buttons.nth(1).getAttribute("aria-pressed"), "true");
    // An older grid stays where it was chosen while newer ones come.
    await page.locator("#update").fill("0");
    assertEquals(await source(), "samples/0.png?stage=steps-4");
    const third = { ...second, done: 7, grids: [0, 5, 7] };
    state = stateOf({ stages: [guided, third], current: 1, done: 27, updates: 50 });
    await shows("status", "steps-4: 27 of 50 updates");
    assertEquals(await source(), "samples/0.png?stage=steps-4");
    await page.locator("#update").fill("2");
    assertEquals(await source(), "samples/7.png?stage=steps-4");
    await buttons.nth(0).click();
    await shows("loss", "0.5000");
    assertEquals(await source(), "samples/20.png?stage=guided", "its newest");
    assertEquals(await buttons.nth(0).getAttribute("aria-pressed"), "true");
    await buttons.nth(1).click();
    await shows("loss", "0.2500");

    ended = true;
    await shows("status", "steps-4: 27 of 50 updates, stopped; train --resume goes on with it");
    // A plot is fetched once an update: of guided, of both students' states, and at each change between them.
    const plots = asked.filter((one) => one.startsWith("plot"));
    assert(plots.length <= 6, `${plots}`);
  },
);
