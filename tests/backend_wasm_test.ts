import { assert, assertEquals, assertRejects } from "@std/assert";
import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { wasmInline } from "../src/backends/onnxruntime/wasm_inline.ts";
import { emit, portable, wasm as wasmLowering } from "../src/onnx/mod.ts";
import {
  type Built,
  doubling,
  largeTable,
  powers,
  ramp,
  stridedConvolution,
} from "./backend_models.ts";

/** As the backend would write it, or another way. */
const modelOf = ({ graph, weights }: Built, lowering = portable) =>
  emit(graph, { lowering, weights });
const matrix = { x: { data: ramp(256 * 256).map((v) => v / 16), dims: [256, 256] } };
const one = { x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } };

Deno.test("wasm: the calling thread stays free while a network runs", async () => {
  const backend = wasm();
  const session = await backend.createOnnxSession(modelOf(powers(256, 100)));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run(matrix);
  clearInterval(timer);
  await session.close();
  await backend.terminate();
  assert(ticks > 1, `expected the event loop to turn during the run, it turned ${ticks} times`);
});

Deno.test("wasm: a worker that dies fails its runs; the session goes on in a new worker", async () => {
  const backend = wasm({ threads: 1 });
  const [long, short] = await Promise.all([
    backend.createOnnxSession(modelOf(powers(256, 100))),
    backend.createOnnxSession(modelOf(doubling())),
  ]);
  const lost = assertRejects(() => long.run(matrix), Error, "the worker died (it was ended)");
  await backend.terminate();
  await lost;
  const { y } = await short.run(one);
  assertEquals(y.data, new Float32Array([2, 4, 6]));
  assertEquals((await long.run(matrix)).y.dims, [256, 256]);
  await Promise.all([long.close(), short.close()]);
  await backend.terminate();
});

Deno.test("wasm: a worker that cannot start rejects with the reason", async () => {
  const backend = wasm({ workerUrl: "data:application/javascript,throw new Error('no luck')" });
  await assertRejects(() => backend.createOnnxSession(modelOf(doubling())), Error, "no luck");
});

Deno.test("wasm: a program that closes nothing ends", async () => {
  const program = `
    import { wasm } from ${
    JSON.stringify(import.meta.resolve("../src/backends/onnxruntime/wasm.ts"))
  };
    const session = await wasm().createOnnxSession(new Uint8Array([${modelOf(doubling())}]));
    const { y } = await session.run({ x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } });
    console.log(y.data.join());
  `;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", `data:application/javascript,${encodeURIComponent(program)}`],
    stderr: "inherit",
    // Where it does not end by itself.
    signal: AbortSignal.timeout(120_000),
  }).output();
  assertEquals([code, new TextDecoder().decode(stdout)], [0, "2,4,6\n"]);
});

Deno.test("wasm inline: takes onnxruntime's .wasm as a compiled module", async () => {
  const path = new URL(
    "ort-wasm-simd-threaded.wasm",
    import.meta.resolve("npm:onnxruntime-web@1.30.0/wasm"),
  );
  const wasmModule = await WebAssembly.compile(await Deno.readFile(path));
  const { instantiate } = WebAssembly;
  const session = await wasmInline(ort, { wasmModule }).createOnnxSession(modelOf(doubling()));
  assertEquals(WebAssembly.instantiate, instantiate);
  assertEquals((await session.run(one)).y.data, new Float32Array([2, 4, 6]));
  await session.close();
});

for (const threads of [1, 2, 3]) {
  Deno.test(`wasm lowering: any convolution, as the standard one to 2e-5 and the same in any batch, on ${threads} threads`, async () => {
    const backend = wasm({ threads });
    for (
      const [channels, height, width, kernel, stride, padding] of [
        [40, 16, 16, 3, 2, [1, 1, 1, 1]],
        [40, 16, 16, 3, 2, [0, 0, 1, 1]],
        [40, 9, 12, 3, 1, [1, 1, 1, 1]],
        [40, 8, 8, 3, 1, [1, 1, 1, 1]],
        [48, 17, 16, 3, 2, [1, 1, 1, 1]],
        [160, 16, 16, 1, 1, [0, 0, 0, 0]],
        [40, 1, 64, 1, 1, [0, 0, 0, 0]],
        // large enough for Winograd
        [96, 16, 16, 3, 1, [1, 1, 1, 1]],
        [96, 6, 10, 3, 1, [1, 1, 1, 1]],
      ] as const
    ) {
      const what = `${channels} channels, ${height}×${width}, kernel ${kernel}, stride ${stride}`;
      const shape = { channels, height, width, kernel, stride, padding };
      const built = stridedConvolution(shape);
      const standard = await backend.createOnnxSession(modelOf(built));
      const lowered = await backend.createOnnxSession(modelOf(built, wasmLowering));
      const size = channels * height * width;
      const pictures = ramp(5 * size);
      const feed = (n: number) => ({
        x: { data: pictures.subarray(0, n * size), dims: [n, channels, height, width] },
      });
      const all = (await lowered.run(feed(5))).y;
      const expected = (await standard.run(feed(5))).y;
      assertEquals(all.dims, expected.dims, what);
      const worst = (all.data as Float32Array).reduce(
        (most, v, i) => Math.max(most, Math.abs(v - Number(expected.data[i]))),
        0,
      );
      assert(worst < 2e-5, `${what}: differs by ${worst}`);
      for (const n of [1, 2, 3]) {
        const { data } = (await lowered.run(feed(n))).y;
        const differing = (data as Float32Array).findIndex((v, i) => v !== all.data[i]);
        assertEquals(differing, -1, `${what}: ${n} pictures differ from 5`);
      }
      await Promise.all([standard.close(), lowered.close()]);
    }
    await backend.terminate();
  });
}

Deno.test("wasm: a model of 150 MB loads", async () => {
  const backend = wasm({ threads: 1 });
  const session = await backend.createOnnxSession(modelOf(largeTable(37_500_000)));
  const { rows } = await session.run({ indices: { data: new Int32Array([1]), dims: [1] } });
  assertEquals(rows.data.length, 37_500_000 / 2);
  assertEquals(rows.data[7], 0.5);
  await session.close();
  await backend.terminate();
});
