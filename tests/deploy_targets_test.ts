/** Each edge target run for real, and the picture that all of them make. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { generate, load } from "../mod.ts";
import { findChromium, launch, openPage, sampleInPage, serveSite } from "../bench/edge/browser.ts";
import { MAX_MEMORY, runWorker } from "../bench/edge/cloudflare.ts";
import { measureDeno } from "../bench/edge/deno.ts";
import { referencePixels } from "../bench/edge/library.ts";
import { difference, pixelsAt, probe, probeAddress } from "../bench/edge/target.ts";
import { readApng } from "./apng.ts";
import { temporaryFolder } from "./cli.ts";

let reference: Promise<Uint8Array> | undefined;
const expected = () => reference ??= referencePixels();

Deno.test("deno serve: the library's picture, within its memory, gone after SIGINT", async () => {
  // Throws where memory or the time to end are over budget.
  const { pixels } = await measureDeno(12);
  assertEquals(difference(await expected(), pixels), "yes");
});

Deno.test("workerd: pictures, events, ETag and edge cache, within 110 MB", async (t) => {
  await using folder = await temporaryFolder();
  await using worker = await runWorker(new URL(`file://${folder.path}/dist/`));
  const at = (path: string) => new URL(path, worker.base);

  await t.step("the library's picture, bit for bit", async () => {
    assertEquals(difference(await expected(), await pixelsAt(at(probeAddress))), "yes");
  });

  await t.step("the second time it comes out of the cache, the same", async () => {
    const address = at("v1/images/21.png?steps=2");
    const [first, second] = [await fetch(address), await fetch(address)];
    assertEquals(second.headers.get("x-edge-cache"), "hit");
    assertEquals(second.headers.get("etag"), first.headers.get("etag"));
    assertEquals(await second.bytes(), await first.bytes());
    const etag = first.headers.get("etag")!;
    const unchanged = await fetch(address, { headers: { "if-none-match": etag } });
    assertEquals(unchanged.status, 304);
  });

  await t.step("the making of a picture comes as animations, kept as pictures are", async () => {
    const png = await pixelsAt(at("v1/images/alice@example.com.png?label=wizard&size=64"));
    for (const format of ["gif", "apng"]) {
      const address = at(`v1/images/alice@example.com.${format}?label=wizard&size=64`);
      const [first, second] = [await fetch(address), await fetch(address)];
      assertEquals([first.status, first.headers.get("x-edge-cache")], [200, null]);
      assertEquals(second.headers.get("x-edge-cache"), "hit");
      assertEquals(second.headers.get("content-type"), `image/${format}`);
      const file = await first.bytes();
      assertEquals(await second.bytes(), file);
      if (format === "apng") assertEquals(readApng(file).frames[4].pixels, png);
      else assertEquals(new omggif.GifReader(file).numFrames(), 5);
    }
  });

  await t.step("a mixture of two classes and two names, at a size", async () => {
    const address = "v1/images/alice.png?with=bob&label=orc%2Bwizard&size=512";
    assertEquals((await pixelsAt(at(address))).length, 3 * 512 ** 2);
  });

  await t.step("the making of a picture comes as events", async () => {
    const response = await fetch(at("v1/images/3/events"));
    assertMatch(response.headers.get("content-type")!, /^text\/event-stream/);
    const names = [...(await response.text()).matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    assertEquals(names, ["queued", "step", "step", "step", "step", "done"]);
  });

  await t.step("a visitor who leaves does not stop the others", async () => {
    const leave = new AbortController();
    const left = fetch(at("v1/images/11.png"), { signal: leave.signal });
    const stays = pixelsAt(at("v1/images/12.png?steps=4"));
    leave.abort();
    await left.then((response) => response.body?.cancel(), () => {});
    assert((await stays).length > 0);
    assert((await pixelsAt(at("v1/images/13.png?steps=1"))).length > 0);
  });

  await t.step("more than the CPU limit allows is refused before any work", async () => {
    const response = await fetch(at("v1/images/1.png?steps=101"));
    await response.body?.cancel();
    assertEquals(response.status, 422);
  });

  await t.step("memory", async () => {
    const bytes = await worker.wasmMemory() + await worker.heap();
    assert(bytes <= MAX_MEMORY, `${bytes} bytes`);
  });
});

Deno.test("workerd: a folder behind an address, whose weights are streamed", async () => {
  const golden = new URL("./golden/ddpm_legacy_fp16/", import.meta.url);
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const path = new URL(request.url).pathname.replace("/weights/tiny/", "");
      const bytes = await Deno.readFile(new URL(path, golden)).catch(() => null);
      return new Response(bytes, { status: bytes ? 200 : 404 });
    },
  );
  await using folder = await temporaryFolder();
  const address = `http://127.0.0.1:${server.addr.port}/weights/tiny`;
  await using worker = await runWorker(new URL(`file://${folder.path}/dist/`), address);
  await using model = await load(golden, { backend: "simd", threads: 1 });
  const [{ pixels }] = await generate(model, { seeds: [5], steps: 3 });
  const at = (path: string) => new URL(path, worker.base);
  // The first two come while it loads.
  const found = await Promise.all(
    [5, 5].map((seed) => pixelsAt(at(`v1/images/${seed}.png?steps=3`))),
  );
  for (const picture of found) assertEquals(difference(pixels, picture), "yes");
  const text = await (await fetch(at("v1/models"))).text();
  assert(text.includes(`"tiny@${model.hash.slice(0, 16)}"`), text);
});

const chromium = findChromium();
if (!chromium) console.log("browser tests are skipped: no chromium is installed");

Deno.test({
  name: "browser: the playground samples in the page, on WebAssembly and on WebGPU",
  ignore: !chromium,
  async fn(t) {
    await using site = await serveSite();
    const browser = await launch(chromium!);
    try {
      await t.step(
        "who presses the button while the weights load gets what the form says",
        async () => {
          const { page, errors } = await openPage(browser);
          let documents = 0;
          page.on("request", (request) => {
            if (request.isNavigationRequest()) documents++;
          });
          const preset = "engine=simd&seed=7&steps=2&label=3&guidance=1";
          await page.route("**/weights/**", async (route) => {
            await new Promise((resolve) => setTimeout(resolve, 300));
            await route.continue();
          });
          await page.goto(`${site.origin}/index.html?${preset}`);
          assertEquals(await page.locator("#progress").getAttribute("value"), null);
          await page.locator("#go").click();
          await page.waitForSelector("body[data-done], body[data-failed]", { timeout: 60_000 });
          assertMatch(
            (await page.textContent("#status"))!,
            /^Seed 7, class orc-rogue: 2 steps in /,
          );
          assertEquals(documents, 1, "the page is not loaded again");
          assertEquals(await page.textContent("#said"), await page.textContent("#status"));
          assertEquals(errors, []);
          await page.close();
        },
      );
      for (const engine of ["simd", "webgpu"] as const) {
        await t.step(engine, async () => {
          const { page, errors } = await openPage(browser);
          const steps = engine === "webgpu" ? 1 : 2;
          await page.goto(`${site.origin}/index.html?engine=${engine}&seed=7&steps=${steps}`);
          // A software GPU compiles the network for minutes on a busy machine.
          await page.waitForSelector("body[data-done], body[data-failed]", { timeout: 480_000 });
          const said = await page.textContent("#status");
          assertMatch(
            said!,
            new RegExp(`^Seed 7, class minotaur-knight: ${steps} steps in .* on ${engine}\\.$`),
          );
          assertEquals(errors, []);
          await page.close();
        });
      }
      await t.step("the page stays free while WebAssembly runs", async () => {
        const { page } = await openPage(browser);
        await page.goto(`${site.origin}/index.html?engine=simd&steps=1`);
        const ticks = await page.evaluate(async () => {
          const at = (path: string) => new URL(path, location.href).href;
          const denoise: typeof import("../deploy/browser/library.ts") = await import(
            at("denoise.js")
          );
          const { backend } = await import(at("engine_simd.js"));
          const files = denoise.filesAt(new URL(at("weights/")));
          const model = await denoise.load(files, { backend: await backend() });
          const x = new Float32Array(4 * model.shape.reduce((a, b) => a * b));
          let ticks = 0;
          const timer = setInterval(() => ticks++, 1);
          await model.predict(x, new Float32Array(4), model.labels && new Int32Array(4));
          clearInterval(timer);
          await model.close();
          return ticks;
        });
        assert(ticks > 1, `the page turned ${ticks} times during an evaluation of 4`);
      });
      await t.step("WebAssembly gives the library's picture, bit for bit", async () => {
        const { page } = await openPage(browser);
        await page.goto(`${site.origin}/index.html?engine=simd&steps=1`);
        const { pixels } = await sampleInPage(page, {
          engine: "simd",
          ...probe,
          seeds: [probe.seed],
        });
        assertEquals(difference(await expected(), Uint8Array.from(pixels[0])), "yes");
      });
    } finally {
      await browser.close();
    }
  },
});
