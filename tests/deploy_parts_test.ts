/** What goes into bundles and executables, without making them. */
import { assert, assertEquals } from "@std/assert";
import { emptyFolder, filesIn } from "../deploy/bundle.ts";
import { includes } from "../deploy/compile.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";
import { temporaryFolder } from "./cli.ts";

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
