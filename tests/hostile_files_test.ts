/** Every file that a stranger may give is read or refused: no crash, no hang, no huge allocation. */
import { assert, assertEquals } from "@std/assert";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { decodeJpeg } from "../src/image/jpeg.ts";
import { readNpz } from "../src/image/npz.ts";
import { parseNpy, writeNpy } from "../src/files/npy.ts";
import { decodePng, encodePng, readPngText } from "../src/image/png.ts";
import { readChunks, writeChunks } from "../src/image/png_chunks.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { load } from "../src/model/load.ts";
import { bytesOf, jpegs, npz, pngs, pngWithTexts } from "./image_fixtures.ts";
import { mutations, refusals } from "./mutations.ts";
import { brokenGraphs, tinyOnnx } from "./onnx_fixtures.ts";

const MIB = 2 ** 20;
const limits = { maxBytes: MIB };

const weights = writeSafetensors(
  new Map([
    ["conv.weight", { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    ["conv.bias", { shape: [2], data: Float32Array.of(7, 8) }],
    ["empty", { shape: [0, 4], data: new Float32Array() }],
  ]),
  { metadata: { format: "pt" } },
);

Deno.test("400 damaged safetensors are refused or read", async () => {
  const refused = await refusals(mutations(weights, 400, 1), parseSafetensors, MIB);
  assert(refused > 300, `${refused} of 400 were refused`);
});

Deno.test("a damaged safetensors that is read gives tensors whose shapes fit their data", () => {
  for (const file of mutations(weights, 400, 2)) {
    try {
      for (const { shape, data } of parseSafetensors(file).tensors.values()) {
        assertEquals(data.length, shape.reduce((a, b) => a * b, 1));
      }
    } catch { /* refused: the test above looks at how */ }
  }
});

Deno.test("400 damaged zips are refused or read", async () => {
  const zip = await writeZip(
    new Map([["unet/config.json", new Uint8Array(300).fill(32)], ["b.bin", bytesOf(npz)]]),
    { compress: true },
  );
  const read = (file: Uint8Array, where: string) => readZip(file, where, limits);
  const refused = await refusals(mutations(zip, 400, 3), read, 4 * MIB);
  assert(refused > 300, `${refused} of 400 were refused`);
});

Deno.test("400 damaged npz are refused or read", async () => {
  const read = (file: Uint8Array, where: string) => readNpz(file, where, limits);
  const refused = await refusals(mutations(bytesOf(npz), 400, 4), read, 4 * MIB);
  assert(refused > 300, `${refused} of 400 were refused`);
});

Deno.test("400 damaged npy are refused or read with a shape that fits", async () => {
  const npy = writeNpy({ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) });
  const read = (file: Uint8Array, where: string) => {
    const { shape, data } = parseNpy(file, where);
    assertEquals(data.length, shape.reduce((a, b) => a * b, 1));
  };
  const refused = await refusals(mutations(npy, 400, 5), read, MIB);
  assert(refused > 100, `${refused} of 400 were refused`);
});

/** Damaged chunks under right checksums, so that the damage reaches what lies behind them. */
function* underRightChecksums(
  file: Uint8Array,
  count: number,
  seed: number,
): Generator<Uint8Array<ArrayBuffer>> {
  const chunks = readChunks(file, "whole");
  for (let i = 0; i < count; i++) {
    const hit = i % (chunks.length - 1);
    const [data] = mutations(chunks[hit].data, 1, seed + i);
    yield writeChunks(chunks.map((chunk, at) => at === hit ? { ...chunk, data } : chunk));
  }
}

for (const [kind, { file }] of Object.entries({ ...pngs, texts: { file: pngWithTexts } })) {
  Deno.test(`60 damaged PNGs are refused or read: ${kind}`, async () => {
    const read = (bytes: Uint8Array, where: string) => {
      readPngText(bytes, where);
      const { pixels, width, height, channels } = decodePng(bytes, where);
      assertEquals(pixels.length, width * height * channels);
    };
    const refused = await refusals(mutations(bytesOf(file), 30, 6), read, MIB);
    assert(refused > 20, `${refused} of 30 were refused`);
    await refusals(underRightChecksums(bytesOf(file), 30, 7), read, 4 * MIB);
  });
}

for (const [kind, { file }] of Object.entries(jpegs)) {
  Deno.test(`100 damaged JPEGs are refused or read: ${kind}`, async () => {
    const read = (bytes: Uint8Array, where: string) => {
      const { pixels, width, height } = decodeJpeg(bytes, where);
      assertEquals(pixels.length, width * height * 3);
    };
    await refusals(mutations(bytesOf(file), 100, 8), read, 8 * MIB);
  });
}

Deno.test("a PNG that announces 60 million pixels in a few bytes is refused before they are made", async () => {
  const small = encodePng({ pixels: new Uint8Array(4), width: 2, height: 2, channels: 1 });
  const chunks = readChunks(small, "small");
  const header = chunks[0].data.slice();
  new DataView(header.buffer).setUint32(0, 60_000_000);
  new DataView(header.buffer).setUint32(4, 1);
  const bomb = writeChunks([{ type: "IHDR", data: header }, ...chunks.slice(1)]);
  assertEquals(await refusals([bomb], decodePng, MIB), 1);
});

/** Files that parse reach the engine, in its worker, and are evaluated there. */
async function onnxRefusals(files: Iterable<Uint8Array<ArrayBuffer>>): Promise<number> {
  const backend = wasm({ threads: 1 });
  try {
    return await refusals(files, async (file, where) => {
      const read = (name: string) => Promise.resolve(name === "net.onnx" ? file : undefined);
      const files = { where: `${where}/`, file: "net.onnx", read };
      await using model = await load(files, { backend });
      const [channels, height, width] = model.shape;
      const x = new Float32Array(channels * height * width);
      const y = await model.predict(x, Float32Array.of(1), model.labels && new Int32Array(1));
      assertEquals(y.length, model.outChannels * height * width);
    }, 4 * MIB);
  } finally {
    await backend.terminate();
  }
}

Deno.test("1,000 damaged ONNX files are refused or evaluated", async () => {
  const refused = await onnxRefusals(mutations(tinyOnnx(), 1000, 9));
  assert(refused > 800 && refused < 1000, `${refused} of 1,000 were refused`);
});

Deno.test("300 ONNX files whose message is whole and whose graph is not are refused or evaluated", async () => {
  const refused = await onnxRefusals(brokenGraphs(tinyOnnx(), 300, 10));
  assert(refused > 150 && refused < 300, `${refused} of 300 were refused`);
});
