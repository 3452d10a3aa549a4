/** The page on apps that refuse, are signed, are mounted elsewhere, or are busy. */
/// <reference lib="dom" />
import { assert, assertEquals } from "@std/assert";
import { Hono } from "npm:hono@4.13.19";
import { createApp } from "../src/server/mod.ts";
import { appTest, labels, text } from "./page_browser.ts";
import { fakeModel } from "./server_fake.ts";

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

appTest(
  "the form has what weights recommend, what an address says, and tells only what differs",
  () => {
    const fake = fakeModel({ labels, nullLabel: 2 });
    const recommended = { scheduler: "heun", steps: 3 };
    const plain = { ...fakeModel(), recommended };
    return createApp({ models: { fake, plain } });
  },
  async (page, base) => {
    const values = async () =>
      await page.evaluate(() => {
        const field = (id: string) =>
          document.getElementById(id) as unknown as { value: string; max: string };
        const shown = ["weights", "label", "guidance"].filter((id) =>
          !(document.getElementById(`${id}-field`) as unknown as { hidden: boolean }).hidden
        );
        return {
          ...{ weights: field("weights").value, scheduler: field("scheduler").value },
          ...{ steps: field("steps").value, most: field("steps").max },
          ...{ guidance: field("guidance").value, label: field("label").value },
          shown: shown.join(),
          told: ["steps-text", "guidance-text"].map((id) =>
            document.getElementById(id)!.textContent
          )
            .join(),
          picture: document.getElementById("example")!.textContent!.split("/v1/images/")[1],
        };
      });
    const open = async (query: string) => {
      await page.goto(new URL(query, base).href);
      await page.waitForSelector("#example:not(:empty)");
      return await values();
    };
    assertEquals(await open("?seed=1"), {
      ...{ weights: "fake", scheduler: "ddim", steps: "5", most: "250" },
      ...{ guidance: "1", label: "", shown: "weights,label,guidance", told: "5,1" },
      picture: "1.png",
    });
    assertEquals(await open("?seed=a+b&steps=4&guidance=2.5&label=dog&scheduler=unipc"), {
      ...{ weights: "fake", scheduler: "unipc", steps: "4", most: "250" },
      ...{ guidance: "2.5", label: "dog", shown: "weights,label,guidance", told: "4,2.5" },
      picture: "a%20b.png?scheduler=unipc&steps=4&label=dog&guidance=2.5",
    });
    // More steps than the slider has are its end; what is no choice, or no number, is as if it were not there.
    assertEquals(
      await open("?seed=1&weights=plain&steps=260&guidance=x&scheduler=magic&label=elf"),
      {
        ...{ weights: "plain", scheduler: "heun", steps: "260", most: "260" },
        ...{ guidance: "1", label: "", shown: "weights", told: "260,1" },
        picture: "1.png?weights=plain&steps=260",
      },
    );
    await page.locator("#weights").selectOption("fake");
    const { scheduler, steps, most, shown } = await values();
    assertEquals([scheduler, steps, most, shown], ["ddim", "5", "250", "weights,label,guidance"]);
    const first = await page.locator("#label option").allInnerTexts();
    assertEquals(first, ["the seed's: seed mod 2", "cat", "dog"]);
  },
);
