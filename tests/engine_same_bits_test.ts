/** A picture's bits depend on the picture alone: not on its batch, the threads or where they run. */
import { assert, assertEquals } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import type { SimdSession } from "../src/backends/simd/session.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { networkOf, openModel } from "../src/model/model.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { ramp } from "./backend_models.ts";

const folders = ["class_conditional", "learned_range", "ddpm_legacy_fp16"];

for (const name of folders) {
  Deno.test(`simd: ${name} gives the same bits in any batch, on 1, 2 and 3 threads, inline and compact`, async () => {
    const url = new URL(`./golden/${name}/`, import.meta.url);
    const folder = await readFolder(filesAt(url));
    const most = 21;
    const one = folder.network.shape.reduce((a, b) => a * b);
    const x = ramp(most * one);
    const t = Float32Array.from({ length: most }, (_, i) => 47 * i);
    const labels = name === "class_conditional"
      ? Int32Array.from({ length: most }, (_, i) => i % 3)
      : undefined;
    let expected: Float32Array | undefined;
    const backends = [
      simdInline(),
      simdInline({ compact: true }),
      ...[1, 2, 3].map((threads) => simd({ threads })),
    ];
    for (const backend of backends) {
      const model = await openModel(folder, backend);
      for (const n of [most, 1, 2, 5]) {
        const out = await model.predict(
          x.subarray(0, n * one),
          t.subarray(0, n),
          labels?.subarray(0, n),
        );
        expected ??= out;
        const differing = out.findIndex((v, i) => v !== expected![i]);
        assertEquals(differing, -1, `${n} pictures differ from ${most}`);
      }
      await model.close();
      if ("terminate" in backend) await (backend as ReturnType<typeof simd>).terminate();
    }
  });
}

Deno.test("simd in the calling thread: memory for one picture, which grows when more come", async () => {
  const url = new URL("./golden/class_conditional/", import.meta.url);
  const { graph, weights } = networkOf(await readFolder(filesAt(url)));
  const session = await simdInline().createSession(graph, weights) as SimdSession;
  const feeds = (n: number) => ({
    sample: { data: ramp(n * 144), dims: [n, 1, 12, 12] },
    timestep: { data: new Float32Array(n).fill(300), dims: [n] },
    class_labels: { data: new Int32Array(n), dims: [n] },
  });
  const [name] = session.outputNames;
  const one = (await session.run(feeds(1)))[name].data;
  const before = session.engine.bytes;
  const many = (await session.run(feeds(16)))[name].data;
  assert(session.engine.bytes > before, `${session.engine.bytes} bytes, before ${before}`);
  assertEquals(many.slice(0, one.length), one);
  assertEquals((await session.run(feeds(1)))[name].data, one);
  await session.close();
});

Deno.test("simd: more threads than cores, two sessions and changing batches: the same bits each time", async () => {
  const folder = await readFolder(filesAt(new URL("./golden/class_conditional/", import.meta.url)));
  const one = folder.network.shape.reduce((a, b) => a * b);
  const inputs = (n: number) => [ramp(n * one), new Float32Array(n).fill(300)] as const;
  const inline = await openModel(folder, simdInline());
  const batches = [1, 3, 2];
  const expected = new Map<number, Float32Array>();
  for (const n of batches) {
    expected.set(n, await inline.predict(...inputs(n), new Int32Array(n)));
  }
  await inline.close();
  const backend = simd({ threads: 7 });
  const models = await Promise.all([openModel(folder, backend), openModel(folder, backend)]);
  await Promise.all(models.map(async (model, m) => {
    for (let i = 0; i < 60; i++) {
      const n = batches[(i + m) % 3];
      const out = await model.predict(...inputs(n), new Int32Array(n));
      const differing = out.findIndex((v, k) => v !== expected.get(n)![k]);
      assertEquals(differing, -1, `run ${i} of session ${m}`);
    }
  }));
  for (const model of models) await model.close();
  await backend.terminate();
});
