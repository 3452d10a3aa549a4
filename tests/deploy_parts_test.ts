/** What goes into bundles and executables, without making them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { bundle, copyEngine, emptyFolder, engineFile, filesIn, ORT } from "../deploy/bundle.ts";
import { mainModule } from "../deploy/cloudflare/build.ts";
import { asked, includes } from "../deploy/compile.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";
import { temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";

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

Deno.test("on Deno Deploy: the deployment's weights, each by its name; a picture under way at SIGINT is finished", async () => {
  const golden = new URL("./golden/class_conditional/", import.meta.url).pathname;
  const { addSignalListener, exit } = Deno;
  const listeners: [string, () => void | Promise<void>][] = [];
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  Deno.addSignalListener = (signal, listener) => void listeners.push([signal, listener]);
  Deno.exit = ((code: number) => resolve(code)) as typeof exit;
  try {
    const main = await withEnvironment(
      { DENOISE_WEIGHTS: `one=${golden}, two=${golden}` },
      () => import("../deploy/deno/main.ts") as Promise<typeof import("../deploy/deno/main.ts")>,
    );
    const { fetch } = main.default;
    const ask = (path: string) => fetch(new Request(`https://pictures.example/${path}`));
    const models = await (await ask("v1/models")).text();
    for (const name of ["one", "two"]) assert(models.includes(`"${name}@`), models);
    assert(!models.includes("heroes"), models);
    const many = new Request("https://pictures.example/v1/images/generations", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "1", n: 3, steps: 1000 }),
    });
    const refused = await fetch(many);
    const said = await refused.text();
    assert(refused.status === 422 && said.includes("2000"), said);

    const response = await ask("v1/images/5/events?steps=20");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "", done = false;
    const read = async () => {
      const part = await reader.read();
      text += part.value ?? "";
      return part.done;
    };
    while (!text.includes("event: step")) await read();
    const reading = (async () => {
      while (!await read());
      done = true;
    })();
    assertEquals(listeners.map(([signal]) => signal), ["SIGINT"]);
    await listeners[0][1]();
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals([done, text.includes("event: done")], [true, true]);
    await reading;
    assertEquals(await ended, 0);
  } finally {
    Deno.addSignalListener = addSignalListener;
    Deno.exit = exit;
  }
});
