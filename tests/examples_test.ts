/** Every file of examples/ does what its first lines say. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { type Browser, chromium } from "npm:playwright-core@1.65.1";
import { findChromium } from "../bench/edge/browser.ts";
import euler from "../examples/sampler.ts";
import { greetings } from "../examples/endpoint.ts";
import { site } from "../examples/page.ts";
import { trainBlobs } from "../examples/train.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { decodePng } from "../src/image/png.ts";
import { checkScheduler } from "../src/sampling/plugin.ts";
import { sample } from "../src/sampling/sample.ts";
import { createApp } from "../src/server/mod.ts";
import { temporaryFolder } from "./cli.ts";
import { fakeNetwork } from "./sampling_network.ts";
import { fakeModel } from "./server_fake.ts";

const example = (name: string) => new URL(`../examples/${name}`, import.meta.url).pathname;

Deno.test("library.ts draws a seven and tells every step", async () => {
  await using folder = await temporaryFolder();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", example("library.ts")],
    cwd: folder.path,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assertMatch(lines[0], /^seven\.png 224 × 224 by \w+$/);
  assertEquals(lines.length, 5);
  assertEquals(decodePng(await Deno.readFile(`${folder.path}/seven.png`), "seven").width, 224);
});

Deno.test("sampler.ts passes the check of plug-ins; without noise it is DDIM", async () => {
  checkScheduler({ default: euler }, "euler");
  const scheduler = parseSchedulerConfig({ clip_sample: false });
  const last = async (options: Parameters<typeof sample>[1]) =>
    (await Array.fromAsync(sample(fakeNetwork({ scheduler }), options))).at(-1)!.x;
  const common = { seeds: [1], steps: 7 };
  const ours = await last({ ...common, scheduler: euler });
  const ddim = await last({ ...common, scheduler: "ddim" });
  ours.forEach((value, i) => assertAlmostEquals(value, ddim[i], 1e-4));
  const churned = await last({ ...common, scheduler: euler, options: { churn: 0.5 } });
  assert(churned.some((value, i) => Math.abs(value - ours[i]) > 1e-3));
});

Deno.test("endpoint.ts greets with a picture from the service beside it", async () => {
  const app = greetings(createApp({ models: { fake: fakeModel() }, page: false }));
  const page = await (await app.request("/hello/a%3Cb")).text();
  assertMatch(page, /Hello a&#60;b!/);
  const [, address] = /src="([^"]+)"/.exec(page)!;
  const picture = await app.request(address);
  assertEquals([picture.status, picture.headers.get("content-type")], [200, "image/png"]);
  await picture.body?.cancel();
});

Deno.test("train.ts leaves weights that can be sampled", async () => {
  await using folder = await temporaryFolder();
  const weights = await trainBlobs(`${folder.path}/run`, 3);
  const index = JSON.parse(await Deno.readTextFile(`${weights}/model_index.json`));
  assertMatch(index._class_name, /Pipeline$/);
});

const executablePath = findChromium();
Deno.test({
  name: "page.ts: a visitor's browser draws by itself",
  ignore: !executablePath,
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    const app = await site();
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
    let browser: Browser | undefined;
    try {
      browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      await page.goto(`http://127.0.0.1:${server.addr.port}/`);
      await page.waitForSelector("body[data-done='1']", { timeout: 120_000 });
      await page.click("canvas");
      await page.waitForSelector("body[data-done='2']", { timeout: 120_000 });
      assertEquals(errors, []);
      assertEquals((await app.request("/weights/..%2F..%2Fdeno.json")).status, 404);
    } finally {
      await browser?.close();
      await server.shutdown();
    }
  },
});
