/** A picture's bits depend on the picture alone: not on its batch, the threads or where they run. */
import { assertEquals } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { openModel } from "../src/model/model.ts";
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
