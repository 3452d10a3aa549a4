/** Bare ONNX files as weights: ours, PyTorch's exports, and what cannot be one. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { Backend } from "../src/backend/backend.ts";
import { InputError } from "../src/errors.ts";
import { filesAt } from "../src/model/files.ts";
import { sha256Hex } from "../src/model/hash.ts";
import { load } from "../src/model/load.ts";
import { locate } from "../src/model/locate.ts";
import type { Model } from "../src/model/model.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import { backendsUnderTest } from "./backends.ts";
import { ramp } from "./backend_models.ts";
import { temporaryFolder } from "./cli.ts";
import { readGolden, readGoldenJson } from "./golden.ts";
import { serve, withEnvironment } from "./hub.ts";
import {
  create,
  edited,
  node,
  onnxFiles,
  onnxOfFolder,
  pb,
  port,
  tinyOnnx,
} from "./onnx_fixtures.ts";

const types = pb.TensorProto_DataType;
const golden = (name: string) => new URL(`./golden/${name}/`, import.meta.url);
const under = await backendsUnderTest();
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

const N = "N";
const picture = [N, 3, 8, 8];
const ports: Record<
  string,
  { input: pb.ValueInfoProto[]; output?: pb.ValueInfoProto[]; says: string }
> = {
  "no timestep": {
    input: [port("sample", picture)],
    says: "found the inputs sample float32 [N, 3, 8, 8]; expected a float32 sample [N, C, H, W]",
  },
  "labels in place of a timestep": {
    input: [port("sample", picture), port("y", [N], types.INT64)],
    says: "y int64 [N]; expected",
  },
  "two inputs that may be either": {
    input: [port("a", picture), port("b", [N]), port("d", [N], types.INT64)],
    says: "found the inputs a float32 [N, 3, 8, 8], b float32 [N], d int64 [N]; expected",
  },
  "two pictures": {
    input: [port("sample", picture), port("low_res", picture), port("t", [N])],
    says: "low_res float32 [N, 3, 8, 8]",
  },
  "a text encoder's states": {
    input: [port("sample", picture), port("t", [N]), port("encoder_hidden_states", [N, 77, 768])],
    says: "encoder_hidden_states float32 [N, 77, 768]",
  },
  "float16 pictures": {
    input: [port("sample", picture, types.FLOAT16), port("t", [N])],
    says: "sample float16 [N, 3, 8, 8]: expected float32; export with float32 inputs",
  },
  "open height and width": {
    input: [port("sample", [N, 3, "H", "W"]), port("t", [N])],
    says: "[N, 3, H, W]: expected fixed channels, height and width; export it for one size",
  },
  "channels last": {
    input: [port("sample", [N, 32, 32, 3]), port("t", [N])],
    says: "expected channels before height and width",
  },
  "two outputs": {
    input: [port("sample", picture), port("t", [N])],
    output: [port("eps", picture), port("attention", [N, 4, 64, 64])],
    says: "found the outputs eps float32 [N, 3, 8, 8], attention float32 [N, 4, 64, 64]",
  },
  "labels that pick from no table": {
    input: [port("sample", picture), port("t", [N]), port("y", [N], types.INT64)],
    says: 'expected input "y" to pick rows (Gather) of a table',
  },
};

for (const [what, { input, output = [port("out", picture)], says }] of Object.entries(ports)) {
  Deno.test(`refused with what was found and expected: ${what}`, async () => {
    const graph = create(pb.GraphProtoSchema, {
      node: [node("Identity", ["x"], ["y"])],
      input,
      output,
    });
    const file = edited(new Uint8Array(), (model) => model.graph = graph);
    const error = await assertRejects(() => readOnnx(onnxFiles(file)), InputError) as Error;
    assertStringIncludes(error.message, "memory/net.onnx: ");
    assertStringIncludes(error.message, says);
  });
}

Deno.test("names tell two small inputs apart; of two without, the scalar is the timestep", async () => {
  const found = async (...input: pb.ValueInfoProto[]) => {
    const file = edited(tinyOnnx(), ({ graph }) => {
      const [, t, y] = input.map(({ name }) => name);
      const renamed = new Map([["timestep", t], ["class_labels", y]]);
      for (const n of graph!.node) n.input = n.input.map((name) => renamed.get(name) ?? name);
      graph!.input = input;
    });
    const { timestep, classLabels } = (await readOnnx(onnxFiles(file))).ports;
    return [timestep.name, classLabels?.name];
  };
  const sample = port("sample", [N, 1, 4, 4]);
  for (const [t, y] of [["time_step", "y"], ["timesteps.1", "b"], ["a", "class_label"]]) {
    assertEquals(await found(sample, port(t, [N]), port(y, [N], types.INT32)), [t, y]);
  }
  assertEquals(await found(sample, port("a", []), port("b", [N], types.INT32)), ["a", "b"]);
});

const hostile: Record<
  string,
  { edit(graph: pb.GraphProto, model: pb.ModelProto): void; says: string }
> = {
  "control flow": {
    edit: ({ node: nodes }) => nodes.push(node("Loop", ["a"], ["b"])),
    says: 'operator "Loop" is not run',
  },
  "randomness": {
    edit: ({ node: nodes }) => nodes.push(node("RandomNormalLike", ["a"], ["b"])),
    says: 'operator "RandomNormalLike" is not run',
  },
  "an operator of another domain": {
    edit: ({ node: nodes }) => nodes.push(node("Conv", ["a"], ["b"], "mine")),
    says: 'operator "mine.Conv" is not run',
  },
  "functions of its own": {
    edit: (_, model) => model.functions.push(create(pb.FunctionProtoSchema, { name: "f" })),
    says: "functions of its own (f …)",
  },
  "a tensor without all its numbers": {
    edit: ({ initializer: [first] }) => first.dims = [...first.dims, 2n],
    says: "its shape [",
  },
  "a stride of 0": {
    edit: ({ node: nodes }) => {
      const conv = nodes.find(({ opType }) => opType === "Conv")!;
      conv.attribute.find(({ name }) => name === "strides")!.ints = [0n, 1n];
    },
    says: "strides is 0; expected 1 to 65536",
  },
  "a tensor of 2⁴⁰ elements": {
    edit: ({ node: nodes, initializer }) => {
      nodes.push(node("ConstantOfShape", ["large"], ["b"]));
      const int64Data = [2n ** 20n, 2n ** 20n];
      const dataType = types.INT64;
      initializer.push(
        create(pb.TensorProtoSchema, { name: "large", dims: [2n], dataType, int64Data }),
      );
    },
    says: "asks for a tensor of 1099511627776 elements",
  },
  "a weight that is no number": {
    edit: ({ initializer }) => {
      const bias = initializer.find(({ name }) => name === "conv_out.bias")!;
      bias.rawData = new Uint8Array(Float32Array.of(NaN).buffer);
    },
    says: "not finite",
  },
};

for (const [what, { edit, says }] of Object.entries(hostile)) {
  Deno.test(`refused by name: ${what}`, async () => {
    const file = edited(tinyOnnx(), (model) => edit(model.graph!, model));
    await assertRejects(() => load(onnxFiles(file), { backend: native }), InputError, says);
  });
}

/** The file with its first tensor moved into another, as PyTorch's exporter does. */
function split(entries: Record<string, string>): [Uint8Array, Uint8Array] {
  let moved = new Uint8Array();
  const file = edited(tinyOnnx(), ({ graph }) => {
    const [tensor] = graph!.initializer;
    moved = tensor.rawData;
    tensor.rawData = new Uint8Array();
    tensor.dataLocation = pb.TensorProto_DataLocation.EXTERNAL;
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(pb.StringStringEntryProtoSchema, { key, value })
    );
  });
  return [file, Uint8Array.of(1, 2, 3, 4, ...moved)];
}

Deno.test("tensors in a file beside it are taken in; a missing, short or distant file is refused", async () => {
  const [file, data] = split({ location: "net.onnx.data", offset: "4" });
  await using model = await load(onnxFiles(file, { "net.onnx.data": data }), { backend: native });
  await using whole = await load(onnxFiles(tinyOnnx()), { backend: native });
  const feeds = [ramp(16), Float32Array.of(3), Int32Array.of(1)] as const;
  assertEquals(await model.predict(...feeds), await whole.predict(...feeds));

  await assertRejects(
    () => readOnnx(onnxFiles(file)),
    InputError,
    "lies in net.onnx.data, found none",
  );
  const short = onnxFiles(file, { "net.onnx.data": data.slice(0, -1) });
  await assertRejects(() => readOnnx(short), InputError, "elements, its shape");
  const [beyond] = split({ location: "w", offset: "4", length: "4000" });
  await assertRejects(
    () => readOnnx(onnxFiles(beyond, { w: data })),
    InputError,
    "bytes 4 to 4004",
  );
  for (const location of ["../w", "/etc/passwd", ""]) {
    const [away] = split({ location });
    await assertRejects(
      () => readOnnx(onnxFiles(away)),
      InputError,
      "the name of a file beside it",
    );
  }
});

Deno.test("a file of a hub's repository is named behind it, and #sha256= is checked", async () => {
  await using cache = await temporaryFolder();
  const onnx = await Deno.readFile(exported("class_conditional"));
  await using server = serve((path) => {
    if (path === "/owner/name/resolve/v1/unet/model.onnx") return new Response(onnx);
    const isConfig = path === "/owner/name/resolve/v1/unet/scheduler_config.json";
    return isConfig
      ? new Response('{"num_train_timesteps": 50}')
      : new Response("no", { status: 404 });
  });
  const environment = { DENOISE_CACHE: cache.path, HF_ENDPOINT: server.origin };
  await withEnvironment(environment, async () => {
    const place = "hf:owner/name/unet/model.onnx@v1";
    const file = await readOnnx(await locate(`${place}#sha256=${await sha256Hex(onnx)}`));
    assertEquals([file.classes, file.scheduler?.num_train_timesteps], [5, 50]);
    const other = "0".repeat(64);
    await assertRejects(
      () => locate(`${place}#sha256=${other}`),
      InputError,
      "expected SHA-256 000",
    );
  });
});

Deno.test("a server that forbids the scheduler's config has none; tensors it forbids are an error", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const [large] = split({ location: "data" });
    const files: Record<string, Uint8Array> = { "/small.onnx": tinyOnnx(), "/large.onnx": large };
    let status = 403;
    let place: string;
    {
      await using server = serve((path) =>
        path in files
          ? new Response(files[path].slice())
          : new Response("<Code>AccessDenied</Code>", { status })
      );
      place = `${server.origin}/small.onnx`;
      const folder = { ...filesAt(new URL(server.origin)), onnx: "small.onnx" };
      for (status of [403, 404, 410]) {
        assertEquals((await readOnnx(await locate(place))).scheduler, undefined);
        assertEquals((await readOnnx(folder)).scheduler, undefined);
      }
      for (status of [401, 500]) {
        await assertRejects(() => readOnnx(folder), InputError, `answered ${status}`);
      }
      status = 403;
      const other = await locate(`${server.origin}/large.onnx`);
      await assertRejects(() => readOnnx(other), InputError, "/data: expected the file");
    }
    // What was read is kept, that there was nothing too: no network is needed.
    assertEquals((await readOnnx(await locate(place))).scheduler, undefined);
  });
});
