/** DENOISE_WEIGHTS stands in where no weights are named. */
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { run } from "../src/cli/main.ts";
import { InputError } from "../src/errors.ts";
import {
  defaultSource,
  defaultSources,
  servedSources,
  sourcesByName,
  studySource,
} from "../src/weights/find/sources.ts";
import { cli, inTime, temporaryFolder } from "./cli.ts";
import { hub, serve, withEnvironment } from "./hub.ts";

const golden = new URL("./golden/class_conditional", import.meta.url).pathname;
const named = <T>(value: string, run: () => Promise<T>) =>
  withEnvironment({ DENOISE_WEIGHTS: value }, run);

Deno.test("the variable lists sources; unset and empty mean the heroes", async () => {
  const cases: [string, string[]][] = [
    ["", ["heroes-4"]],
    [" , ", ["heroes-4"]],
    ["hf:a/b@v1", ["hf:a/b@v1"]],
    ["digits, faces=./faces/", ["digits", "faces=./faces/"]],
  ];
  for (const [value, expected] of cases) {
    await named(value, () => Promise.resolve(assertEquals(defaultSources(), expected)));
  }
  const all = (value: string) =>
    named(value, () => Promise.resolve([servedSources(), defaultSource(), studySource()]));
  assertEquals(await all(""), [["heroes-4", "heroes"], "heroes-4", "heroes"]);
  const sources = ["faces=./faces/", "digits"];
  assertEquals(await all(sources.join()), [sources, "./faces/", "./faces/"]);
});

Deno.test("sources are called by the last part of their place, or by the name before =", () => {
  const hash = "0".repeat(64);
  const names: [string, string][] = [
    ["digits", "digits"],
    [`digits#sha256=${hash}`, "digits"],
    ["./some/faces/", "faces"],
    [`hf:owner/cats@refs/pr/1#sha256=${hash}`, "cats"],
    ["https://example.org/w/dogs.zip?token=a/b", "dogs"],
    ["birds=hf:owner/cats", "birds"],
    ["/", "weights"],
    ["C:\\w\\faces", "faces"],
    ["./a.b/c.d.zip", "c.d"],
    ["./my faces (2)/", "my-faces--2-"],
    ["hf:owner/cats/unet@v1", "unet"],
    ["https://example.org/cats@2/", "cats-2"],
    ["a b=./faces", "faces"],
    ["faces=", "faces-"],
    ["x.y-z_1=a=b", "x.y-z_1"],
  ];
  for (const [text, name] of names) assertEquals([...sourcesByName([text]).keys()], [name]);
  assertEquals(sourcesByName(["birds=hf:owner/cats"]).get("birds"), "hf:owner/cats");
  assertEquals([...sourcesByName(["a/x", "x.y-z_1=a=b"]).values()], ["a/x", "a=b"]);
  assertThrows(
    () => sourcesByName(["a/x", "b/x.zip"]),
    InputError,
    'weights: "a/x" and "b/x.zip" are both called x; give each its own name with NAME=SOURCE',
  );
});

Deno.test("sample, compare, interpolate and inspect take what it names, from a hub too", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(hub);
  const environment = {
    DENOISE_WEIGHTS: "hf:owner/name@v1",
    DENOISE_CACHE: `${folder.path}/cache`,
    HF_ENDPOINT: server.origin,
  };
  const quick = ["--backend", "native", "--threads", "1", "--steps", "2"];
  const commands = [
    ["sample", "--n", "1", ...quick, "--out", `${folder.path}/a.png`],
    ["compare", "--schedulers", "ddim", ...quick, "--out", `${folder.path}/b.png`],
    ["interpolate", "1", "2", "--frames", "2", ...quick, "--out", `${folder.path}/c.png`],
    ["inspect"],
  ];
  for (const args of commands) {
    const { code, out, err } = await withEnvironment(environment, () => cli(args));
    assertEquals(code, 0, err);
    if (args[0] === "inspect") assertStringIncludes(out, "12×12");
  }
  // /owner/name/resolve/v1/… and /api/models/owner/name/revision/v1
  const revisions = server.requests.map((path) => /(?:resolve|revision)\/([^/]+)/.exec(path)![1]);
  assertEquals(new Set(revisions), new Set(["v1"]));

  const fine = await withEnvironment(
    environment,
    () => cli(["sample", "--from", `${folder.path}/a.png`, "--out", `${folder.path}/d.png`]),
  );
  assertMatch(fine.err, /the same pixels as .*a\.png|levels unlike/);
});

Deno.test("the help says what the default is and what names others", async () => {
  // Those that draw take few steps; those that look into weights, and choose steps, take the teacher.
  const defaults: Record<string, string> = { sample: "heroes-4", serve: "heroes-4, heroes" };
  for (const command of ["sample", "inspect", "compare", "interpolate", "eval", "serve"]) {
    const { out } = await named(`x=${golden}`, () => cli([command, "--help"]));
    const text = out.replace(/\s+/g, " ");
    assertStringIncludes(text, `${golden}; DENOISE_WEIGHTS names others`, command);
    assertStringIncludes(
      (await named("", () => cli([command, "--help"]))).out.replace(/\s+/g, " "),
      `(default: ${defaults[command] ?? "heroes"}; DENOISE_WEIGHTS names others)`,
      command,
    );
  }
});

Deno.test("--weights comes before it", async () => {
  const { code, out } = await named("no-such", () => cli(["inspect", golden]));
  assertEquals(code, 0);
  assertStringIncludes(out, "12×12");
  assertEquals((await named("no-such", () => cli(["inspect"]))).code, 2);
});

Deno.test("serve offers all that it names, each under its name", async () => {
  const other = new URL("./golden/train_unconditional", import.meta.url).pathname;
  const stop = new AbortController();
  const listening = Promise.withResolvers<URL>();
  const running = named(
    `faces=${golden},${other}`,
    () =>
      run(["serve", "--port", "0", "--backend", "native", "--threads", "1"], {
        quiet: true,
        signal: stop.signal,
        out: () => {},
        err: (line) => {
          const address = /listening on (\S+)/.exec(line)?.[1];
          if (address) listening.resolve(new URL(address));
        },
        status: () => {},
        writeBytes: () => Promise.resolve(),
      }),
  );
  running.then((code) => listening.reject(new Error(`serve ended with ${code}`)));
  const models = await (await fetch(new URL("v1/models", await listening.promise))).json();
  assertEquals(models.data.map(({ id }: { id: string }) => id), ["faces", "train_unconditional"]);
  stop.abort(new DOMException("enough", "AbortError"));
  assertEquals(await inTime(running, "serve ended when it was asked to"), 0);
});
