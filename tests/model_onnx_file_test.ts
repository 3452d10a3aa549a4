/** Bare ONNX files as weights: ours and PyTorch's exports, and how their graphs are run. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { InputError } from "../src/errors.ts";
import { filesAt } from "../src/weights/files.ts";
import { load } from "../src/model/load.ts";
import type { Model } from "../src/model/model.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import { ortBackendsUnderTest } from "./backends.ts";
import { ramp } from "./backend_models.ts";
import { readGolden, readGoldenJson } from "./golden.ts";
import { edited, onnxFiles, onnxOfFolder, pb, port, tinyOnnx } from "./onnx_fixtures.ts";

const types = pb.TensorProto_DataType;
const golden = (name: string) => new URL(`./golden/${name}/`, import.meta.url);
const under = await ortBackendsUnderTest();
const native = under[0].backend;

const worst = (found: Float32Array, expected: ArrayLike<number>) =>
  found.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i])), 0);

for (const { backend, tolerance } of under) {
  for (const folder of ["train_unconditional", "class_conditional", "learned_range"]) {
    Deno.test(`${backend.name}: ${folder} as .onnx gives PyTorch's output within ${tolerance}`, async () => {
      const io = await readGolden(`${folder}/io.safetensors`);
      const files = onnxFiles(await onnxOfFolder(golden(folder)));
      await using model = await load(files, { backend });
      const labels = io.integers("class_labels");
      const out = await model.predict(
        io.floats("sample"),
        Float32Array.from(io.integers("timestep")!),
        labels && Int32Array.from(labels),
      );
      assert(worst(out, io.floats("out")) <= tolerance);
    });
  }

  for (const name of ["scalar_timestep", "class_conditional", "fixed_batch"]) {
    Deno.test(`${backend.name}: PyTorch's export ${name} gives PyTorch's output within ${tolerance}`, async () => {
      const io = await readGoldenJson<Export>(`onnx/${name}.json`);
      await using model = await load(exported(name), { backend });
      const out = await model.predict(...feedsOf(io));
      assertEquals(out.length, io.out.length);
      assert(worst(out, io.out) <= tolerance);
    });
  }

  Deno.test(`${backend.name}: a graph that the engine refuses is an InputError of one line`, async () => {
    const wrong = edited(tinyOnnx(), ({ graph }) => graph!.node[0].input[0] = "nowhere");
    await refusedByEngine(wrong, backend, "cannot load the model");
  });
}

Deno.test("a graph that fails when it runs is refused as it is loaded", async () => {
  const wrong = edited(tinyOnnx(), ({ graph }) => {
    const weight = graph!.initializer.find(({ name }) => name === "conv_out.weight")!;
    weight.dims = [4n, 9n, 1n, 1n];
    graph!.output = [port("out_sample")];
  });
  for (const { backend } of under.slice(0, 2)) {
    await refusedByEngine(wrong, backend, "the run failed: ");
  }
});

async function refusedByEngine(onnx: Uint8Array, backend: Backend, says: string) {
  const error = await assertRejects(() => load(onnxFiles(onnx), { backend }), InputError) as Error;
  assert(error.message.startsWith(`memory/net.onnx: ${backend.name}: ${says}`), error.message);
  assert(!error.message.includes("\n"), error.message);
}

interface Export {
  sample: number[];
  timestep: number[];
  class_labels: number[] | null;
  out: number[];
}

const exported = (name: string) => new URL(`./golden/onnx/${name}.onnx`, import.meta.url);

function feedsOf({ sample, timestep, class_labels }: Export) {
  const labels = class_labels ? Int32Array.from(class_labels) : undefined;
  return [Float32Array.from(sample), Float32Array.from(timestep), labels] as const;
}

/** Each picture alone, one after another. */
async function oneByOne(model: Model, x: Float32Array, t: number[], labels?: number[]) {
  const size = x.length / t.length;
  const all: number[] = [];
  for (const [n, time] of t.entries()) {
    const label = labels && Int32Array.of(labels[n]);
    const picture = x.slice(n * size, (n + 1) * size);
    all.push(...await model.predict(picture, Float32Array.of(time), label));
  }
  return all;
}

Deno.test("what ONNX does not carry travels in the metadata: the same facts as the folder's", async () => {
  const folder = new URL("../weights/digits/", import.meta.url);
  await using expected = await load(filesAt(folder), { backend: native });
  await using found = await load(onnxFiles(await onnxOfFolder(folder)), { backend: native });
  for (const key of ["shape", "outChannels", "scheduler", "labels", "nullLabel", "recommended"]) {
    assertEquals(found[key as keyof Model], expected[key as keyof Model], key);
  }
  assert(found.hash !== expected.hash, "another graph may round differently");
});

Deno.test("a graph from elsewhere has diffusers' defaults, and its classes from its embedding", async () => {
  await using model = await load(exported("fixed_batch"), { backend: native });
  const { shape, outChannels, scheduler, labels, nullLabel, recommended, config } = model;
  assertEquals([shape, outChannels], [[3, 8, 12], 6]);
  assertEquals(labels, ["0", "1", "2", "3", "4"]);
  assertEquals([nullLabel, recommended, config], [undefined, undefined, undefined]);
  const { beta_schedule, num_train_timesteps, prediction_type, variance_type } = scheduler;
  assertEquals([beta_schedule, num_train_timesteps], ["linear", 1000]);
  assertEquals([prediction_type, variance_type], ["epsilon", "learned_range"]);
});

Deno.test("a scheduler_config.json beside the file is taken, unless the file has its own", async () => {
  const text = JSON.stringify({ num_train_timesteps: 77, prediction_type: "sample" });
  const beside = { "scheduler_config.json": new TextEncoder().encode(text) };
  const bare = await readOnnx(onnxFiles(tinyOnnx(), beside));
  assertEquals(bare.scheduler?.num_train_timesteps, 77);
  assertEquals(bare.scheduler?.prediction_type, "sample");
  assert(bare.hash !== (await readOnnx(onnxFiles(tinyOnnx()))).hash);
  const own = await onnxOfFolder(golden("class_conditional"));
  assertEquals((await readOnnx(onnxFiles(own, beside))).scheduler?.num_train_timesteps, 1000);
});

Deno.test("whole-number timesteps are rounded, halves to even", async () => {
  const io = await readGoldenJson<Export>("onnx/class_conditional.json");
  await using model = await load(exported("class_conditional"), { backend: native });
  const [x, , labels] = feedsOf(io);
  const at = (...t: number[]) => model.predict(x, Float32Array.from(t), labels);
  assertEquals(await at(499.6, 10.5), await at(500, 10));
  assert(worst(await at(499, 10), await at(500, 10)) > 1e-4);
});

Deno.test("one timestep for all pictures of a run: pictures at different ones are run apart", async () => {
  await using model = await load(exported("scalar_timestep"), { backend: native });
  const x = ramp(4 * 3 * 8 * 12);
  const t = [5, 900, 5, 300];
  const together = await model.predict(x, Float32Array.from(t));
  assert(worst(together, await oneByOne(model, x, t)) < 1e-5);
});

Deno.test("a fixed batch of 1 is run picture by picture", async () => {
  await using model = await load(exported("fixed_batch"), { backend: native });
  const x = ramp(3 * 3 * 8 * 12);
  const together = await model.predict(x, Float32Array.of(5, 900, 5), Int32Array.of(0, 4, 2));
  assertEquals([...together], await oneByOne(model, x, [5, 900, 5], [0, 4, 2]));
});

Deno.test("a fixed batch of 4 takes 3, or 6, pictures", async () => {
  const four = edited(tinyOnnx(), ({ graph }) => {
    graph!.input = [
      port("sample", [4, 1, 4, 4]),
      port("timestep", [4]),
      port("class_labels", [4], types.INT32),
    ];
  });
  await using fixed = await load(onnxFiles(four), { backend: native });
  await using free = await load(onnxFiles(tinyOnnx()), { backend: native });
  for (const n of [3, 6]) {
    const feeds = [
      ramp(n * 16),
      ramp(n).map((t) => Math.abs(t) * 999),
      Int32Array.from({ length: n }, (_, i) => i % 3),
    ] as const;
    assert(worst(await fixed.predict(...feeds), await free.predict(...feeds)) < 1e-5);
  }
});

Deno.test("height and width that the graph leaves open come from the metadata", async () => {
  const open = edited(await onnxOfFolder(golden("class_conditional")), ({ graph }) => {
    graph!.input[0] = port("sample", ["N", 1, "H", "W"]);
  });
  assertEquals((await readOnnx(onnxFiles(open))).shape, [1, 12, 12]);
});

Deno.test("predict refuses feeds that do not fit, and a closed model", async () => {
  const model = await load(onnxFiles(tinyOnnx()), { backend: native });
  const [x, t] = [ramp(16), Float32Array.of(3)];
  await assertRejects(
    () => model.predict(ramp(15), t, Int32Array.of(0)),
    InputError,
    "15 elements",
  );
  await assertRejects(() => model.predict(x, t), InputError, "expected 1 labels below 3");
  await assertRejects(
    () => model.predict(x, t, Int32Array.of(3)),
    InputError,
    "label 3 is outside",
  );
  await model.close();
  await assertRejects(() => model.predict(x, t, Int32Array.of(0)), Error, "the session is closed");
});
