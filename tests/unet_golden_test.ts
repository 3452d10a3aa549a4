/** The network against PyTorch's, for every golden folder, lowering and engine. */
import { assert, assertStringIncludes } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { emit, fused, portable } from "../src/onnx/mod.ts";
import { winogradFrom } from "../src/onnx/lowerings/winograd.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { openModel } from "../src/model/model.ts";
import { emitModel } from "../src/model/onnx/export.ts";
import { backendsUnderTest, ortBackendsUnderTest } from "./backends.ts";
import { readGolden } from "./golden.ts";

const folders: Record<string, string> = {
  ddpm_legacy: "ddpm_legacy",
  ddpm_legacy_root: "ddpm_legacy",
  ddpm_legacy_fp16: "ddpm_legacy_fp16",
  train_unconditional: "train_unconditional",
  class_conditional: "class_conditional",
  learned_range: "learned_range",
  scale_shift: "scale_shift",
};

async function worstDifference(folder: string, io: string, backend: Backend): Promise<number> {
  const golden = await readGolden(`${io}/io.safetensors`);
  const weights = await readFolder(filesAt(new URL(`./golden/${folder}/`, import.meta.url)));
  await using model = await openModel(weights, backend);
  const labels = golden.integers("class_labels");
  const out = await model.predict(
    golden.floats("sample"),
    Float32Array.from(golden.integers("timestep")!),
    labels && Int32Array.from(labels),
  );
  const expected = golden.floats("out");
  return expected.reduce((worst, x, i) => Math.max(worst, Math.abs(x - out[i])), 0);
}

for (const { backend, tolerance } of await backendsUnderTest()) {
  for (const [folder, io] of Object.entries(folders)) {
    Deno.test(`${backend.name}: ${folder} gives PyTorch's output within ${tolerance}`, async () => {
      const difference = await worstDifference(folder, io, backend);
      assert(difference <= tolerance, `the largest difference is ${difference}`);
    });
  }
}

// The network is small: at its own threshold Winograd would not come in.
const winograd = winogradFrom(1);

Deno.test("Winograd takes part in what is compared with PyTorch's output", async () => {
  const folder = new URL("./golden/train_unconditional/", import.meta.url);
  const bytes = emitModel(await readFolder(filesAt(folder)), winograd);
  assertStringIncludes(new TextDecoder("latin1").decode(bytes), "DepthToSpace");
});

for (const lowering of [portable, fused, winograd]) {
  Deno.test(`the ${lowering.name} lowering gives PyTorch's output`, async () => {
    const [{ backend }] = await ortBackendsUnderTest();
    const difference = await worstDifference("train_unconditional", "train_unconditional", {
      name: backend.name,
      createSession: (graph, weights, options) => {
        const given = { lowering, weights: weights as ReadonlyMap<string, Float32Array> };
        return backend.createOnnxSession(emit(graph, given), options);
      },
    });
    assert(difference <= 2e-5, `the largest difference is ${difference}`);
  });
}
