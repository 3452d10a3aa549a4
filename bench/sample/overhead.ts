/** What the backend and the sampling loop add to onnxruntime's own time on the same graph. */
import type { OrtBackend } from "../../src/backends/onnxruntime/onnx.ts";
import { schedulers } from "../../schedulers/mod.ts";
import { filesAt } from "../../src/weights/files.ts";
import { readFolder } from "../../src/weights/read/folder.ts";
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { openModel } from "../../src/model/model.ts";
import { emitModel } from "../../src/model/onnx/export.ts";
import { sample } from "../../src/sampling/sample.ts";
import { commonOptions, type OrtModule } from "../../src/backends/onnxruntime/ort.ts";
import { inTurns, median } from "./measure.ts";

const STEPS = 10;

/** A build of onnxruntime on the same threads as the backend, called without anything between. */
async function bareOrt(name: string): Promise<OrtModule> {
  if (name === "native") return await import("npm:onnxruntime-node@1.30.0");
  const ort = await import("npm:onnxruntime-web@1.30.0");
  ort.env.wasm.numThreads = navigator.hardwareConcurrency;
  return ort;
}

export async function measureOverhead(backend: OrtBackend, batches: number[], repeats: number) {
  const folder = await readFolder(filesAt(builtInWeights.digits));
  const ort = await bareOrt(backend.name);
  const bare = await ort.InferenceSession.create(emitModel(folder, backend.lowering), {
    ...commonOptions,
    intraOpNumThreads: navigator.hardwareConcurrency,
  });
  await using model = await openModel(folder, backend);
  const rows = [];
  for (const batch of batches) {
    const dims = [batch, ...model.shape];
    const x = new Float32Array(dims.reduce((a, b) => a * b)).map((_, i) => Math.sin(i));
    const t = new Float32Array(batch).fill(500);
    const labels = model.labels && new Int32Array(batch);
    const ms = await inTurns({
      bare: () =>
        bare.run({
          sample: new ort.Tensor("float32", x, dims),
          timestep: new ort.Tensor("float32", t, [batch]),
          ...(labels && { class_labels: new ort.Tensor("int32", labels, [batch]) }),
        }),
      predict: () => model.predict(x, t, labels),
    }, repeats);

    const added: number[] = [];
    for (let i = 0; i < repeats; i++) {
      let network = 0;
      const start = performance.now();
      const frames = sample(model, {
        seeds: Array.from({ length: batch }, (_, seed) => seed),
        scheduler: schedulers.ddim,
        steps: STEPS,
        onEvaluation: ({ milliseconds }) => network += milliseconds,
      });
      for await (const _ of frames);
      added.push((performance.now() - start) / network - 1);
    }
    rows.push({
      backend: backend.name,
      batch,
      "bare onnxruntime, ms": ms.bare.toFixed(2),
      "model.predict, ms": ms.predict.toFixed(2),
      "predict adds": percent(ms.predict / ms.bare - 1),
      "sampling adds": percent(median(added)),
    });
  }
  await bare.release();
  return rows;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
