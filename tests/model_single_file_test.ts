/** Weights in one npz, as numpy may have written it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import type { NpyArray } from "../src/files/npy.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { writeNpz } from "../src/image/npz.ts";
import { configsIn, metadataOf, networkFilesAmong } from "../src/weights/read/formats/format.ts";
import { npzFormat } from "../src/weights/read/formats/npz.ts";

Deno.test("doubles of an npz are rounded to float32; whole numbers are passed over", async () => {
  const count = { shape: [1], data: Int32Array.of(1) };
  const arrays = new Map<string, NpyArray>([["w", { shape: [2], data: Float64Array.of(0.1, 2) }], [
    "n",
    count,
  ]]);
  const { tensors } = await npzFormat.read(await writeNpz(arrays), "w.npz");
  assertEquals([...tensors], [["w", { shape: [2], data: Float32Array.of(0.1, 2) }]]);
  const counts = await writeNpz(new Map([["n", count]]));
  const broken = await writeZip(new Map([["a.npy", new Uint8Array(3)]]));
  const refused: [Uint8Array, string][] = [
    [counts, "w.npz: expected arrays of floats, found none"],
    [broken, "w.npz/a.npy: expected a .npy array, found another format"],
    [new Uint8Array(3), "w.npz: not a zip archive that can be read ("],
  ];
  for (const [bytes, says] of refused) {
    await assertRejects(async () => await npzFormat.read(bytes, "w.npz"), InputError, says);
  }
});

Deno.test("an npz has a network's arrays and configs; other files in it are passed over", async () => {
  const w = { shape: [1000], data: new Float32Array(1000).fill(0.5) };
  const file = { tensors: new Map([["a.w", w]]), configs: new Map([["unet/config.json", "{}"]]) };
  const written = await npzFormat.write!(file, "F32");
  assertEquals(await npzFormat.read(written, "w.npz"), file);
  assert(written.length < 1000, "it is compressed");
  const arrays = await writeNpz(new Map([["a.w", w]]));
  const entries = new Map(await readZip(arrays, "x"));
  for (const name of ["README.md", "a.json.txt", "b.npy/x"]) entries.set(name, new Uint8Array(3));
  const { tensors, configs } = await npzFormat.read(await writeZip(entries), "w.npz");
  assertEquals([[...tensors.keys()], configs.size], [["a.w"], 0]);
});

Deno.test("a file's metadata has configs among entries of others; the network's is told by its folder", () => {
  const configs = new Map([["model_index.json", "{}"], ["unet/config.json", "[]"]]);
  const metadata = { "denoise:model_index.json": "{}", "denoise:unet/config.json": "[]" };
  assertEquals(metadataOf(configs), metadata);
  assertEquals(configsIn({ format: "pt", ...metadata, "x denoise:y": "z" }), configs);
  assertEquals(networkFilesAmong(configs.keys()), {
    config: "unet/config.json",
    weights: "unet/diffusion_pytorch_model.safetensors",
  });
  assertEquals(networkFilesAmong(["config.json", "vae/config.json"]), undefined);
});
