/** Samplers that restore by gradients through a real network: the same on every engine that has them. */
import { assert, assertEquals } from "@std/assert";
import { restorers } from "../schedulers/restoration/mod.ts";
import { createGenerator, residualRms } from "../src/diffusion/mod.ts";
import { openModel } from "../src/model/model.ts";
import { MEASUREMENT, measurementInput } from "../src/restoration/input.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { simulated } from "../src/restoration/measure.ts";
import { sample } from "../src/sampling/sample.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { ortBackendsUnderTest } from "./backends.ts";
import { randomMask } from "./restoration_operators.ts";

const weights = () => readFolder(filesAt(new URL("golden/class_conditional/", import.meta.url)));
const backends = (await ortBackendsUnderTest()).filter(({ backend }) => backend.name !== "webgpu");

for (const sampler of ["pigdm", "dps"] as const) {
  Deno.test(
    `${sampler}: ${
      backends.map(({ backend }) => backend.name).join(", ")
    } restore the same pictures`,
    async () => {
      const made = new Map<string, Float32Array[]>();
      for (const { backend } of backends) {
        await using model = await openModel(await weights(), backend);
        const [, height, width] = model.shape;
        const truth = createGenerator(4).randn(model.shape.reduce((a, b) => a * b))
          .map((z) => Math.tanh(z));
        const noiseFree = simulated(
          operatorOf({ mask: randomMask(width, height, 0.3) }, model.shape),
          truth,
          1,
          0,
        );
        const noisy = simulated(
          operatorOf({ scale: { factor: 2, kernel: "mean" } }, model.shape),
          truth,
          2,
          0.1,
        );
        const measurements = [noiseFree, noisy];
        const inputs = await Promise.all(
          measurements.map(async (m) => ({ [MEASUREMENT]: await measurementInput(m) })),
        );
        const pictures: Float32Array[] = [];
        const request = {
          seeds: [7, 8],
          scheduler: restorers[sampler],
          // Gradients at all levels, and no clipping that would hide a difference.
          options: { from: 0.001 },
          steps: 6,
          labels: [0, 1],
          guidance: 1,
          inputs,
        };
        for await (const frame of sample(model, request)) {
          if (frame.done) pictures[frame.index] = frame.x;
        }
        assert(residualRms(noiseFree, pictures[0]) < 1e-5, `${backend.name}: known pixels`);
        made.set(backend.name, pictures);
      }
      const [reference, ...others] = made.values();
      const size = Math.max(...reference.map((x) => Math.max(...x.map(Math.abs))));
      for (const pictures of others) {
        assertEquals(pictures.length, 2);
        for (const [i, picture] of pictures.entries()) {
          const off = picture.reduce((m, v, p) => Math.max(m, Math.abs(v - reference[i][p])), 0);
          assert(off < 2e-4 * size, `picture ${i}: ${off} of ${size}`);
        }
      }
      assert(reference[0].some((v, p) => Math.abs(v - reference[1][p]) > 0.01));
    },
  );
}
