/** The samplers' table counts what the network was asked, not what a sampler says of itself. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { counted, stepsWithin } from "../bench/samplers/evaluations.ts";
import { kernelDistanceTo } from "../src/evaluation/kernel_distance.ts";
import { scoreSampler } from "../bench/samplers/score.ts";
import { markdown } from "../bench/samplers/table.ts";
import { createGenerator, parseSchedulerConfig } from "../src/diffusion/mod.ts";
import type { NamedNetwork } from "../src/recipe/resolve.ts";
import type { Classifier } from "../src/evaluation/classifier.ts";
import { FEATURES } from "../src/evaluation/classifier_network.ts";

/** A network of two classes and one for none that answers x, and keeps how often it was asked. */
function network() {
  const asked: number[] = [];
  const model: NamedNetwork = {
    shape: [1, 4, 4],
    outChannels: 1,
    scheduler: parseSchedulerConfig({}),
    labels: ["a", "b"],
    nullLabel: 2,
    hash: "0".repeat(64),
    predict: (x, t) => {
      asked.push(t.length);
      return Promise.resolve(x.slice());
    },
  };
  return { model, asked };
}

Deno.test("a batch of n pictures is n evaluations", async () => {
  const { model } = network();
  const { network: same, count } = counted(model);
  await same.predict(new Float32Array(48), new Float32Array(3), new Int32Array(3));
  await same.predict(new Float32Array(16), new Float32Array(1), new Int32Array(1));
  assertEquals(count(), 4);
});

Deno.test("steps are chosen by the evaluations they take, without asking the network", async () => {
  const { model, asked } = network();
  const efforts: [string, number, number, [steps: number, evaluations: number] | undefined][] = [
    ["ddim", 1, 8, [8, 8]],
    ["unipc", 1, 5, [5, 5]],
    ["heun", 1, 5, [3, 5]],
    ["heun", 1, 8, [4, 7]],
    ["ddim", 2, 5, [2, 4]],
    ["heun", 2, 20, [5, 18]],
    ["ddim", 2, 1, undefined],
  ];
  for (const [scheduler, guidance, most, expected] of efforts) {
    const effort = await stepsWithin(model, scheduler, guidance, most);
    assertEquals(effort && [effort.steps, effort.evaluations], expected, `${scheduler} ${most}`);
  }
  assertEquals(asked, []);
});

Deno.test("the kernel distance is that of the definition, and small sets do not bias it", () => {
  const rows = (...values: number[]) => values.map((value) => Float32Array.of(value, 0));
  // k(x, y) = (xy/2 + 1)³ on {0, 2} and {2, 4}: 1 + 125 − 2·(1 + 1 + 27 + 125)/4.
  assertAlmostEquals(kernelDistanceTo(rows(0, 2))(rows(2, 4)), 1 + 125 - 2 * 154 / 4, 1e-9);

  const generator = createGenerator(1);
  const normal = (count: number, mean: number) =>
    Array.from({ length: count }, () => generator.randn(8).map((x) => x + mean));
  const distance = kernelDistanceTo(normal(400, 0));
  const meanOver = (size: number, mean: number) => {
    const sets = Array.from({ length: 40 }, () => distance(normal(size, mean)));
    return sets.reduce((a, b) => a + b) / sets.length;
  };
  for (const size of [5, 50]) assertAlmostEquals(meanOver(size, 0), 0, 0.05, `sets of ${size}`);
  assert(meanOver(5, 0.5) > 0.2, "another distribution is told apart");
});

Deno.test("a cell's evaluations are those of the run that made its pictures", async () => {
  const { model, asked } = network();
  const reads = {
    read: ({ length }: { length: number }) =>
      Promise.resolve({
        labels: new Int32Array(length),
        features: Array.from({ length }, (_, i) => new Float32Array(FEATURES).fill(i)),
      }),
  } as unknown as Classifier;
  const distanceToReal = (features: readonly Float32Array[]) => features.length + 0.25;
  const labels = [{ ask: 0, expect: 0 }, { ask: 1, expect: 1 }];
  const common = { samples: 4, guidance: 1, classifier: reads, labels, distanceToReal };
  const row = await scoreSampler(model, "heun", { ...common, columns: [1, 8] });
  assertEquals(asked.reduce((a, b) => a + b), 4 * (1 + 7));
  assertEquals(
    row.cells.map((cell) => [cell?.steps, cell?.evaluations, cell?.readAsLabel]),
    [[1, 1, 0.5], [4, 7, 0.5]],
  );

  const text = markdown({
    weights: "w",
    hash: model.hash!,
    samples: 4,
    guidance: 1,
    heldOutPictures: 4,
    real: { readAsLabel: 1, distance: 0.25, scatter: 2 },
    columns: [1, 8],
    rows: [row, { sampler: "slow", cells: [undefined, undefined] }],
  });
  assertStringIncludes(text, "| `heun` | 50.0 % · 4.25 | 50.0 % · 4.25 (7) |");
  assertStringIncludes(text, "| `slow` | – | – |");
  assertStringIncludes(text, "4 real pictures give 100.0 % · 0.25 ± 2.00");
});
