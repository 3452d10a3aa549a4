/** What goes into bundles and executables, without making them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { bundle, copyEngine, emptyFolder, engineFile, filesIn, ORT } from "../deploy/bundle.ts";
import { mainModule } from "../deploy/cloudflare/build.ts";
import { asked, command, includes } from "../deploy/compile.ts";
import { pages, update } from "../deploy/page.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";
import { temporaryFolder } from "./cli.ts";
import { hubFiles, withEnvironment } from "./hub.ts";
import { metric, post } from "./server_http.ts";

Deno.test("an executable has every module and all weights; the native engine where it is asked for", async () => {
  const [lean, native] = [await includes(false), await includes(true)];
  assertEquals(lean, lean.toSorted());
  const own = native.filter((path) => path.startsWith("src/backends/onnxruntime/native"));
  assert(own.length > 0);
  assertEquals(native.filter((path) => !own.includes(path)), lean);
  for (const name of Object.keys(builtInWeights)) assert(lean.includes(`weights/${name}`), name);
  for (const path of ["src/engine/wasm/relaxed.ts", "src/cli/main.ts", "schedulers/ddim.ts"]) {
    assert(lean.includes(path), path);
  }
  assert(!lean.some((path) => path.includes("/kernels/")), "sources in another language");
  for (const path of native) {
    assert((await Deno.stat(new URL(`../${path}`, import.meta.url))).size > 0);
  }
});

Deno.test("what is compiled: a file's name, the native engine, and what is behind -- for the compiler", () => {
  const rest = ["--target", "x86_64-pc-windows-msvc"];
  const cases: [string[], ReturnType<typeof asked>][] = [
    [[], { output: "denoise", native: false, rest: [] }],
    [["mine"], { output: "mine", native: false, rest: [] }],
    [["--native"], { output: "denoise", native: true, rest: [] }],
    [["--native", "mine", "other"], { output: "mine", native: true, rest: [] }],
    [["--", ...rest], { output: "denoise", native: false, rest }],
    [["mine", "--", "--native"], { output: "mine", native: false, rest: ["--native"] }],
  ];
  for (const [args, expected] of cases) assertEquals(asked(args), expected, args.join(" "));
});

Deno.test("the compiler is given the program, what it includes, and what is meant for it alone", async () => {
  for (const native of [false, true]) {
    const paths = await includes(native);
    const own = native ? ["--native"] : [];
    assertEquals(await command([...own, "mine", "--", "--target", "x"]), [
      ...["compile", "-A", "--output", "mine"],
      ...paths.flatMap((path) => ["--include", path]),
      ...["--target", "x", "mod.ts"],
    ]);
  }
});

Deno.test("the engine of bundles is the version that the sources import, out of Deno's own cache", async () => {
  await using folder = await temporaryFolder();
  const source = new URL("../src/backends/onnxruntime/wasm_worker.ts", import.meta.url);
  assert((await Deno.readTextFile(source)).includes(`"${ORT}`), ORT);
  const name = "ort-wasm-simd-threaded.wasm", to = new URL(`file://${folder.path}/${name}`);
  const from = await engineFile(name);
  assert(from.endsWith(`/onnxruntime-web/${ORT.split("@")[1]}/dist/${name}`), from);
  await copyEngine(name, to);
  assertEquals(await Deno.readFile(to), await Deno.readFile(from));
  const none = () => engineFile("none.wasm");
  await assertRejects(none, Error, `; run "deno cache ${ORT}" first`);
});

Deno.test("a Worker's main module imports the weights' files, or has their address; both have a name", async () => {
  const lines = async (weights: string) => (await mainModule(weights)).text.split("\n");
  const imports = [
    `import { createWorker } from "./worker.js";`,
    `import engine from "./engine.wasm";`,
  ];
  const addresses = [
    ["https://pictures.example", "https://pictures.example/", "weights"],
    ["https://pictures.example/w/faces", "https://pictures.example/w/faces/", "faces"],
    ["http://pictures.example/faces/", "http://pictures.example/faces/", "faces"],
  ];
  for (const [weights, address, name] of addresses) {
    const last = `export default createWorker(engine, "${address}", "${name}");`;
    assertEquals(await lines(weights), [...imports, last, ""]);
    assertEquals((await mainModule(weights)).files, []);
  }
  const found = Object.entries(await filesIn(builtInWeights["digits-1"]));
  assertEquals(await lines("digits-1"), [
    ...imports,
    ...found.map((_, i) => `import weights${i} from "./weights-${i}.bin";`),
    "export default createWorker(engine, {",
    ...found.map(([path], i) => `  "${path}": weights${i},`),
    `}, "digits-1");`,
    "",
  ]);
  const { files } = await mainModule("digits-1");
  assertEquals(files, found.map(([, url], i) => [`weights-${i}.bin`, url]));
  assert(files.length >= 3);
});

Deno.test("a folder's weights and configs are bundled, its documentation is not", async () => {
  await using folder = await temporaryFolder();
  const root = new URL(`file://${folder.path}/w/`);
  await Deno.mkdir(new URL("unet/deep/", root), { recursive: true });
  const names = ["model_index.json", "README.md", "unet/w.safetensors", "unet/deep/config.json"];
  for (const name of [...names, "unet/w.safetensors.txt"]) {
    await Deno.writeTextFile(new URL(name, root), "x");
  }
  const found = await filesIn(root);
  assertEquals(Object.keys(found).sort(), [names[0], names[3], names[2]]);
  for (const [name, url] of Object.entries(found)) assertEquals(url.href, new URL(name, root).href);

  await emptyFolder(root);
  assertEquals([...Deno.readDirSync(root)], []);
  await emptyFolder(new URL("new/in/it/", root));
  assertEquals([...Deno.readDirSync(root)].map(({ name }) => name), ["new"]);
});

Deno.test("a bundle takes its packages along; what only Deno and Node have is refused by name", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => new URL(`file://${folder.path}/${name}`);
  const write = (name: string, text: string) => Deno.writeTextFile(at(name), text);
  await write("part.ts", `export const text: string = "a part";`);
  await write("good.ts", `import { text } from "./part.ts";\nconsole.log(text);`);
  await write("node.ts", `import { readFileSync } from "node:fs";\nconsole.log(readFileSync);`);
  await bundle(at("good.ts").href, at("good.js"));
  const text = await Deno.readTextFile(at("good.js"));
  assert(text.includes("a part") && !text.includes("import"), text);
  assertEquals(text.trim().split("\n").length, 1, "small");
  const node = () => bundle(at("node.ts").href, at("node.js"));
  await assertRejects(node, Error, "node.ts: imports node:fs, which only Deno and Node have");
  const missing = () => bundle(at("none.ts").href, at("none.js"));
  await assertRejects(missing, Error, "none.ts: ");
});

Deno.test("the pages' files are written, or looked at and named where one is not current", async () => {
  const { writeTextFile, readTextFile } = Deno;
  const { log, error } = console;
  const files = new Map<string, string>(), said: string[] = [];
  const folder = new URL("../", import.meta.url).href;
  const name = (file: string | URL) => String(file).replace(folder, "");
  console.log = console.error = (text: string) => void said.push(text);
  Object.assign(Deno, {
    writeTextFile: (file: URL, text: string) => Promise.resolve(files.set(name(file), text)),
    readTextFile: (file: URL) => Promise.resolve(files.get(name(file))),
  });
  const built = (page: string) => Promise.resolve(page.padEnd(1536));
  try {
    assertEquals(await update(false, built), true);
    const [first, second] = pages.map((page) => `${page}/assets.ts`);
    assertEquals([...files], [[first, pages[0].padEnd(1536)], [second, pages[1].padEnd(1536)]]);
    assertEquals(said.splice(0), [`${first}: 1.5 KiB`, `${second}: 1.5 KiB`]);
    assertEquals([await update(true, built), said], [true, []]);
    files.set(second, "of yesterday");
    assertEquals(await update(true, built), false);
    assertEquals(said, [`${second} is not current: run \`deno task build:page\``]);
    assertEquals(files.get(second), "of yesterday", "who looks writes nothing");
  } finally {
    Object.assign(Deno, { writeTextFile, readTextFile });
    Object.assign(console, { log, error });
  }
});

const golden = new URL("./golden/class_conditional/", import.meta.url);

/** deploy/deno/main.ts anew, under a runtime whose signals, clock and end are a test's. */
async function deployed(weights: string) {
  const { addSignalListener, exit } = Deno;
  const { setTimeout } = globalThis;
  const { error } = console;
  const ended = Promise.withResolvers<number>();
  const seen = { signals: [] as string[], waits: [] as number[], errors: [] as unknown[][] };
  let stop!: () => unknown, hurried = false;
  const restore = () => {
    Object.assign(Deno, { addSignalListener, exit });
    Object.assign(globalThis, { setTimeout });
    Object.assign(console, { error });
  };
  Object.assign(Deno, {
    addSignalListener: (signal: string, listener: () => unknown) => {
      seen.signals.push(signal);
      stop = listener;
    },
    exit: (code: number) => ended.resolve(code),
  });
  console.error = (...said) => void seen.errors.push(said);
  globalThis.setTimeout = ((run: () => void, after = 0) => {
    if (after > 0) seen.waits.push(after);
    return setTimeout(run, hurried ? 0 : after);
  }) as unknown as typeof setTimeout;
  try {
    const main: typeof import("../deploy/deno/main.ts") = await withEnvironment(
      { DENOISE_WEIGHTS: weights },
      () => import(`../deploy/deno/main.ts?${encodeURIComponent(weights)}`),
    );
    const { fetch } = main.default;
    const ask = (path: string, init?: RequestInit) =>
      fetch(new Request(`https://pictures.example/${path}`, init));
    /** A picture's events, once its first step is there; `rest` is all of them. */
    const started = async (path: string) => {
      const reader = (await ask(path)).body!.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      const read = async () => {
        const part = await reader.read();
        text += part.value ?? "";
        return part.done;
      };
      while (!text.includes("event: step")) await read();
      return async () => {
        while (!await read());
        return text;
      };
    };
    return {
      main,
      seen,
      ask,
      started,
      /** SIGINT. @param late whether its clocks run down at once */
      stop: (late = false) => {
        seen.waits.length = 0;
        hurried = late;
        return stop();
      },
      ended: ended.promise,
      [Symbol.dispose]: restore,
    };
  } catch (error) {
    restore();
    throw error;
  }
}

Deno.test("on Deno Deploy: the deployment's weights, each by its name, warmed up; a picture under way at SIGINT is finished", async () => {
  using app = await deployed(`one=${golden.pathname}, two=${golden.pathname}`);
  const { main, seen, ask } = app;
  const limits = { maxBatch: 4, maxRunning: 16, maxQueue: 2000, cacheBytes: 16_777_216 };
  assertEquals(main.limits, limits);
  const models = await (await ask("v1/models")).text();
  for (const name of ["one", "two"]) assert(models.includes(`"${name}@`), models);
  assert(!models.includes("heroes"), models);
  const many = await ask("v1/images/generations", post({ prompt: "1", n: 3, steps: 1000 }));
  const refused = await many.text();
  assert(many.status === 422 && refused.includes("2000"), refused);
  const metrics = async () => await (await ask("metrics")).text();
  for (const name of ["one", "two"]) {
    for (let turn = 0; metric(await metrics(), `denoise_ready{weights="${name}"}`) === 0; turn++) {
      assert(turn < 1000, `${name} was not warmed up`);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  const rest = await app.started("v1/images/5/events?steps=20");
  assertEquals(seen.signals, ["SIGINT"]);
  await app.stop();
  assert((await rest()).includes("event: done"));
  assertEquals(await app.ended, 0);
  const waits = seen.waits.filter((milliseconds) => milliseconds <= 5000);
  assertEquals(waits, [4000, 300], "of the five seconds that it has");
  assertEquals(seen.errors, []);
});

Deno.test("on Deno Deploy: what is not finished in time is told so, and what cannot be warmed up is said", async () => {
  await using folder = await temporaryFolder();
  for (const name of hubFiles) {
    const to = new URL(`file://${folder.path}/${name}`);
    await Deno.mkdir(new URL("./", to), { recursive: true });
    const bytes = await Deno.readFile(new URL(name, golden));
    // Numbers that are finite and make others of the network that are not.
    const at = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    if (name.endsWith(".safetensors")) new Float32Array(bytes.buffer, at).fill(3e38);
    await Deno.writeFile(to, bytes);
  }
  using app = await deployed(`one=${golden.pathname}, broken=${folder.path}`);
  const rest = await app.started("v1/images/5/events?steps=1000");
  await app.stop(true);
  const text = await rest();
  assert(text.includes("event: error") && text.includes("draining"), text.slice(-500));
  assertEquals(await app.ended, 1);
  const [[said, error]] = app.seen.errors;
  assertEquals(said, "the first evaluation failed:");
  assert((error as Error).message.includes("is not finite"), String(error));
});
