/** Real weights, real workers and a real process. */
import { assert, assertEquals } from "@std/assert";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { load } from "../src/model/load.ts";
import { createApp } from "../src/server/mod.ts";
import { metric } from "./server_http.ts";

Deno.test("a Worker that dies is replaced while its requests go on, and their pictures are right", async () => {
  const backend = wasm({ threads: 1 });
  await using model = await load("digits", { backend });
  let evaluations = 0;
  const dying = {
    ...model,
    shape: model.shape,
    async predict(...asked: Parameters<typeof model.predict>) {
      const answer = model.predict(...asked);
      if (++evaluations === 3) await backend.terminate();
      return await answer;
    },
  };
  const limits = { cacheBytes: 0 };
  const calm = createApp({ models: { digits: model }, limits });
  const app = createApp({ models: { digits: dying }, limits });
  const paths = [1, 2].map((seed) => `/v1/images/${seed}.png?steps=5`);
  const alone = [];
  for (const path of paths) alone.push(await (await calm.request(path)).bytes());
  const together = await Promise.all(paths.map(async (path) => {
    const response = await app.request(path);
    assertEquals(response.status, 200);
    return await response.bytes();
  }));
  assertEquals(together, alone);
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_retried_total{weights="digits"}'), 1);
  assertEquals(metric(text, "denoise_queue_cost"), 0);
});

/** Starts `serve` and resolves with its address once it listens. */
async function startServe(...args: string[]) {
  const program = new URL("../mod.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", program, "serve", "--port", "0", "--threads", "1", ...args],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  for (;;) {
    const address = /listening on (\S+)/.exec(said)?.[1];
    if (address) {
      const rest = (async () => {
        while (!(await lines.read()).done);
      })();
      return { child, base: new URL(address), rest };
    }
    const { done, value } = await lines.read();
    if (done) throw new Error(`serve ended: ${said}`);
    said += value;
  }
}

Deno.test({
  name: "serve answers pictures, and on SIGTERM ends its work and itself within 5 s",
  ignore: Deno.build.os === "windows",
  async fn() {
    const { child, base, rest } = await startServe("--weights", "digits");
    try {
      const picture = await fetch(new URL("v1/images/7.png?steps=2", base));
      assertEquals(picture.headers.get("content-type"), "image/png");
      await picture.body?.cancel();
      const ready = await fetch(new URL("readyz", base));
      await ready.body?.cancel();
      assertEquals(ready.status, 200);
      const long = await fetch(new URL("v1/images/8/events?steps=1000&scheduler=linear", base));
      const events = long.text().catch(() => "");
      const asked = performance.now();
      child.kill("SIGTERM");
      const { code } = await child.status;
      const seconds = (performance.now() - asked) / 1000;
      assertEquals(code, 0);
      assert(seconds < 5.5, `${seconds} s`);
      assert((await events).includes("draining"), "the stream was told why it ended");
    } finally {
      await rest;
    }
  },
});
