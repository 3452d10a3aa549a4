/** Where there is no relaxed SIMD, whole pictures are those of the build that has it, within 1/255. */
import { assert } from "@std/assert";
import { generate, load } from "../mod.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { hasRelaxedSimd, kernelBytes, unshared } from "../src/engine/kernels_module.ts";

for (const weights of ["digits-1", "digits-4", "heroes-4"]) {
  Deno.test({
    name: `engine, plain: a picture of ${weights} is within 1/255`,
    ignore: !hasRelaxedSimd(),
    async fn() {
      const [plain, relaxed] = await Promise.all(
        (["plain", "relaxed"] as const).map(async (build) => {
          const module = new WebAssembly.Module(unshared(kernelBytes(build)));
          await using model = await load(weights, { backend: simdInline({ module }) });
          const [{ pixels }] = await generate(model, { seeds: [7] });
          return pixels;
        }),
      );
      const differences = plain.map((level, i) => Math.abs(level - relaxed[i]));
      assert(Math.max(...differences) <= 1, `off by ${Math.max(...differences)} of 255`);
    },
  });
}
