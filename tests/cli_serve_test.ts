/** `serve` as a user runs it: its flags, its weights when they break, how it begins and ends. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as ort from "npm:onnxruntime-node@1.30.0";
import { schedulers } from "../schedulers/mod.ts";
import { closeAll } from "../src/cli/commands/serve.ts";
import { cli, inTime, temporaryFolder, watched } from "./cli.ts";
import { metric } from "./server_http.ts";
import { hub, hubFiles, serve, withEnvironment } from "./hub.ts";

const classes = new URL("./golden/class_conditional", import.meta.url).pathname;

/** Another address of this machine than the one that is taken without --host, where there is one. */
const host = Deno.build.os === "linux" ? "127.0.0.2" : "127.0.0.1";

/** Serves with flags until the test has looked at it. */
async function served(args: string[], look: (base: URL, err: string[]) => Promise<void>) {
  const stop = new AbortController();
  const err: string[] = [];
  const looked = Promise.withResolvers<void>();
  const onErr = (line: string) => {
    err.push(line);
    const address = /listening on (\S+)/.exec(line)?.[1];
    if (address === undefined) return;
    look(new URL(address), err).then(looked.resolve, looked.reject).finally(() => stop.abort());
  };
  const running = watched(["serve", "--port", "0", ...args], { err: onErr }, stop);
  // One that never listens ends by itself, and is not looked at.
  await Promise.race([looked.promise.catch(() => {}), running]);
  const ended = await inTime(running, "serve ended when it was asked to");
  assertEquals(ended.code, 0, ended.err.join("\n"));
  await looked.promise;
  return ended;
}

Deno.test("serve: each flag has its effect", async () => {
  await using folder = await temporaryFolder();
  const plugin = `${folder.path}/mine.ts`;
  const ddim = new URL("../schedulers/ddim.ts", import.meta.url).href;
  await Deno.writeTextFile(
    plugin,
    `import ddim from "${ddim}";\nexport default { ...ddim, name: "mine" };`,
  );
  const secrets = { DENOISE_KEYS: " one ,, two,", DENOISE_SIGNING_KEY: "secret" };
  const status = async (url: URL, headers = {}) => {
    const response = await fetch(url, { headers });
    await response.body?.cancel();
    return response;
  };
  await withEnvironment(secrets, async () => {
    const flags = [
      ...["--signed", "--no-page", "--metrics", "public", "--cors", "https://a.example"],
      ...["--scheduler", plugin, "--scheduler-version", "v1", "--limit", "maxSteps=3"],
      ...["--public-url", "https://pictures.example/x", "--host", host],
    ];
    const weights = ["--weights", `w=${classes}`, "--backend", "native", "--threads", "1"];
    const { out, err } = await served([...weights, ...flags], async (base) => {
      const at = (path: string) => new URL(path, base);
      assertEquals(base.hostname, host);
      const picture = at("v1/images/7.png?steps=1&scheduler=mine");
      assertEquals((await status(picture)).status, 401);
      for (const key of ["one", "two"]) {
        assertEquals((await status(picture, { authorization: `Bearer ${key}` })).status, 200, key);
      }
      const authorization = "Bearer one";
      const { headers } = await status(picture, { authorization, origin: "https://a.example" });
      assertEquals(headers.get("access-control-allow-origin"), "https://a.example");
      assertStringIncludes(headers.get("etag")!, "v1");
      assertEquals((await status(at("metrics"))).status, 200);
      assertEquals((await status(at(""))).status, 404);
      const many = at("v1/images/7.png?steps=4");
      assertEquals((await status(many, { authorization })).status, 422);
      const response = await fetch(at("v1/images/generations"), {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify({ prompt: "x", steps: 1, response_format: "url" }),
      });
      const { data: [{ url }] } = await response.json();
      assert(url.startsWith("https://pictures.example/x/v1/images/"), url);
      const signed = at(url.slice("https://pictures.example/x/".length));
      assertEquals((await status(signed)).status, 200, "without a key: the address is signed");
    });
    assert(err.some((line) => line.startsWith("native computes on the thread that answers")));
    const lines = out.map((line) => JSON.parse(line));
    assert(lines.some(({ message, status }) => message === "request" && status === 401));
    for (const { time } of lines) {
      assertEquals(new Date(time).toISOString(), time, "as machines sort it");
      assert(Math.abs(Date.parse(time) - Date.now()) < 600_000);
    }
    const quiet = await served([...weights, "--quiet"], async (base) => {
      const at = (path: string) => new URL(path, base);
      assertEquals(base.hostname, "127.0.0.1");
      assertEquals((await status(at(""))).status, 200, "the page");
      assertEquals((await status(at("metrics"))).status, 401, "keys there are, so it takes one");
      const picture = await status(at("v1/images/7.png?steps=4"), { origin: "https://b.example" });
      assertEquals(picture.status, 200, "pictures are public");
      assertEquals(picture.headers.get("access-control-allow-origin"), "*");
    });
    assertEquals(quiet.out, []);
    assertEquals("mine" in schedulers, false, "what is offered here is not built in from now on");
  });
});

Deno.test("serve: what could not work is refused before weights are loaded", async () => {
  const cases: [string[], string][] = [
    [["--signed"], "--signed: expected DENOISE_SIGNING_KEY or DENOISE_KEYS to be set"],
    [["--metrics", "nobody"], '--metrics: expected public or key, found "nobody"'],
    [["--limit", "maxQueue=-1"], "--limit maxQueue: expected a positive number, found -1"],
    [["--limit", "maxFoo=1"], "--limit: expected one of maxImages, "],
    [["--limit", "toString=1"], 'found "toString"'],
    [["--limit", "maxQueue"], "--limit: expected name=value"],
    [["--port", "65536"], "--port: expected a whole number from 0 to 65535"],
  ];
  const refused = async (args: string[], message: string) => {
    const weights = ["--weights", "no-such-weights", "--port", "0"];
    const { code, err } = await cli(["serve", ...weights, ...args]);
    assertEquals(code, 2, err);
    assertStringIncludes(err, message);
  };
  for (const [args, message] of cases) await refused(args, message);
  await refused(["--limit", "cacheBytes=0"], "no-such-weights");
  // A variable that is set to nothing names no key.
  for (const keys of ["", " , "]) {
    await withEnvironment({ DENOISE_KEYS: keys }, () => refused(...cases[0]));
  }
  await withEnvironment(
    { DENOISE_SIGNING_KEY: "s" },
    () => refused(["--signed"], "no-such-weights"),
  );
});

Deno.test("serve makes its first evaluation at the start, and counts a proxy's clients apart", async () => {
  const weights = ["--weights", `w=${classes}`, "--backend", "native", "--threads", "1"];
  const one = ["--proxy", "x-client", "--limit", "publicCostPerMinute=1"];
  await served([...weights, ...one], async (base) => {
    const warm = async () => {
      for (;;) {
        const text = await (await fetch(new URL("metrics", base))).text();
        if (metric(text, 'denoise_evaluations_total{weights="w"}') === 1) return;
      }
    };
    await inTime(warm(), "an evaluation");
    const status = async (seed: number, client: string) => {
      const picture = new URL(`v1/images/${seed}.png?steps=1`, base);
      const response = await fetch(picture, { headers: { "x-client": client } });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals([await status(1, "10.0.0.1"), await status(2, "10.0.0.1")], [200, 429]);
    assertEquals(await status(3, "10.0.0.2"), 200);
  });
});

Deno.test("weights whose engine breaks are opened again, as they were: --refresh is for the start", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(hub);
  const { prototype } = ort.InferenceSession as unknown as {
    prototype: { run: (...args: unknown[]) => Promise<unknown> };
  };
  const { run } = prototype;
  const environment = { DENOISE_CACHE: folder.path, HF_ENDPOINT: server.origin };
  const flags = ["--weights", "w=hf:owner/name", "--backend", "native", "--threads", "1"];
  try {
    await withEnvironment(environment, () =>
      served([...flags, "--refresh"], async (base) => {
        const picture = async (seed: number) => {
          const response = await fetch(new URL(`v1/images/${seed}.png?steps=1`, base));
          await response.body?.cancel();
          return response.status;
        };
        assertEquals(await picture(1), 200);
        const before = server.requests.length;
        // The session that is there never answers again; another one does.
        const broken = new Set<unknown>();
        prototype.run = function (this: unknown, ...args) {
          if (broken.size === 0) broken.add(this);
          return broken.has(this) ? Promise.reject(new Error("gone")) : run.apply(this, args);
        };
        assertEquals(await picture(2), 200);
        assertEquals(broken.size, 1);
        const again = server.requests.slice(before);
        const kept = hubFiles.filter((name) => again.some((path) => path.endsWith(`/${name}`)));
        assertEquals(kept, [], "read from where they were kept");
      }));
    const before = server.requests.length;
    await withEnvironment(environment, () => served(flags, () => Promise.resolve()));
    const asked = server.requests.slice(before).join();
    assertEquals(hubFiles.filter((name) => asked.includes(`/${name}`)), [], "without --refresh");
  } finally {
    prototype.run = run;
  }
});

Deno.test("at the end every model is closed; one that hangs does not keep the process", async () => {
  let closed = 0, hung = 0;
  const model = { close: () => Promise.resolve(void closed++) };
  await closeAll([model, model], () => hung++, 10_000);
  assertEquals([closed, hung], [2, 0]);
  const { promise, resolve } = Promise.withResolvers<void>();
  await closeAll([model, { close: () => promise }], () => (hung++, resolve()), 1);
  assertEquals([closed, hung], [3, 1]);
  const { setTimeout } = globalThis;
  const waits: (number | undefined)[] = [];
  globalThis.setTimeout = ((work: () => void, ms?: number) => {
    waits.push(ms);
    return setTimeout(work, ms);
  }) as typeof setTimeout;
  await closeAll([], () => hung++).finally(() => globalThis.setTimeout = setTimeout);
  assertEquals(waits, [300], "of the five seconds that orchestrators give");
  const broken = { close: () => Promise.reject(new Error("gone")) };
  const { clearTimeout } = globalThis;
  for (const models of [[model], [broken], [model, broken], []]) {
    const timers: unknown[] = [], cleared: unknown[] = [];
    globalThis.setTimeout = ((work: () => void, ms?: number) => {
      timers.push(setTimeout(work, ms));
      return timers.at(-1);
    }) as typeof setTimeout;
    globalThis.clearTimeout = (timer) => {
      cleared.push(timer);
      clearTimeout(timer);
    };
    const said = await closeAll(models, () => hung++, 2 ** 30).catch((error) => error.message)
      .finally(() => Object.assign(globalThis, { setTimeout, clearTimeout }));
    assertEquals([said, cleared], [models.includes(broken) ? "gone" : undefined, timers]);
    assertEquals(timers.length, 1);
  }
  assertEquals(hung, 1);
});
