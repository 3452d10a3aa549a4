/** A loaded network whatever the engine: what it is fed, what it refuses, and what it leaves behind. */
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import type { Backend, OnnxBackend, Session, Tensors } from "../src/backends/backend.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { InputError } from "../src/errors.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { graphCost } from "../src/graph/cost.ts";
import { checkPredictArguments } from "../src/model/check_predict.ts";
import { inspectWeights } from "../src/model/inspect.ts";
import { load } from "../src/model/load.ts";
import { openModel } from "../src/model/model.ts";
import { openOnnx } from "../src/model/onnx/network.ts";
import { GraphRuns } from "../src/model/onnx/runs.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { type Files, filesAt, filesOf } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { readOnnx } from "../src/weights/read/onnx/file.ts";
import type { Port } from "../src/weights/read/onnx/ports.ts";
import { onnxFiles, tinyOnnx } from "./onnx_fixtures.ts";

const golden = (name: string) => new URL(`golden/${name}/`, import.meta.url);

Deno.test("N timesteps need N pictures, and N labels where there are classes", () => {
  const check = (x: number, t: number, labels: number[] | undefined, classes: number | null) =>
    checkPredictArguments(
      new Float32Array(x),
      new Float32Array(t),
      labels && Int32Array.from(labels),
      { shape: [1, 2, 2], classes },
    );
  check(4, 1, undefined, null);
  check(8, 2, [0, 2], 3);
  const refused: [Parameters<typeof check>, string][] = [
    [[8, 1, undefined, null], "x has 8 elements; 1 timesteps need 1 × [1,2,2]"],
    [[3, 1, undefined, null], "x has 3 elements"],
    [[4, 1, [0], null], "labels were given, but the network is unconditional"],
    [[8, 2, undefined, 3], "expected 2 labels below 3, found none"],
    [[8, 2, [0], 3], "expected 2 labels below 3, found 1"],
    [[8, 2, [0, 1, 2], 3], "expected 2 labels below 3, found 3"],
    [[8, 2, [0, 3], 3], "label 3 is outside 0…2"],
    [[8, 2, [-1, 0], 3], "label -1 is outside 0…2"],
  ];
  for (const [args, says] of refused) assertThrows(() => check(...args), InputError, says);
});

/** An engine of other names, that tells what is open. */
function watched(change: Partial<Backend> = {}) {
  const engine = simdInline();
  const state = { open: 0, released: 0 };
  const backend: Backend = {
    ...engine,
    name: "watched",
    async createSession(...args) {
      const session = await engine.createSession(...args);
      state.open++;
      return { ...watchedSession(session, () => state.open--) };
    },
    release: () => state.released++,
    ...change,
  };
  return { backend, state };
}

function watchedSession(session: Session, closed: () => void): Session {
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (feeds) => session.run(feeds),
    async close() {
      closed();
      await session.close();
    },
  };
}

/** A session that takes everything and gives what it is told. */
const saying = (outputs: Tensors): Session => ({
  inputNames: [],
  outputNames: [],
  run: () => Promise.resolve(outputs),
  close: () => Promise.resolve(),
});

Deno.test("closing a model closes the session of its gradients, too", async () => {
  const folder = await readFolder(filesAt(golden("train_unconditional")));
  const size = folder.network.shape.reduce((a, b) => a * b);
  let open = 0, asked = 0;
  const backend: Backend = {
    name: "counting",
    createSession(graph) {
      open++;
      const [name] = graph.outputs.keys();
      if (name === "gradient") asked++;
      const session = saying({ [name]: { data: new Float32Array(size), dims: [] } });
      return Promise.resolve(watchedSession(session, () => open--));
    },
  };
  const model = await openModel(folder, backend);
  const x = new Float32Array(size), t = Float32Array.of(3);
  assertEquals([open, asked], [1, 0], "a gradient costs nothing until it is asked for");
  await assertRejects(
    () => model.vjp!(x, t, x.subarray(1)),
    InputError,
    `u has ${size - 1} elements`,
  );
  await assertRejects(() => model.vjp!(x.subarray(1), t, x), InputError, "predict: x has");
  assertEquals(asked, 0);
  await Promise.all([model.vjp!(x, t, x), model.vjp!(x, t, x)]);
  assertEquals([open, asked], [2, 1]);
  await model.close();
  assertEquals(open, 0);
});

Deno.test("gradients are refused where the weights have changed since they were read", async () => {
  const folder = await readFolder(filesAt(golden("train_unconditional")));
  const size = folder.network.shape.reduce((a, b) => a * b);
  const { backend, state } = watched();
  const again = () => Promise.resolve({ ...folder, hash: "another" });
  await using model = await openModel(folder, backend, undefined, again);
  const x = new Float32Array(size);
  await assertRejects(
    () => model.vjp!(x, Float32Array.of(3), x),
    InputError,
    "do not run on watched (the weights have changed since they were read)",
  );
  assertEquals(state.open, 1);
});

/** A folder in memory, with its weights' file changed. */
async function filesOfFolder(name: string, change = (bytes: Uint8Array) => bytes): Promise<Files> {
  const files: Record<string, Uint8Array> = {};
  for (
    const path of [
      "model_index.json",
      "unet/config.json",
      "scheduler/scheduler_config.json",
      "unet/diffusion_pytorch_model.safetensors",
    ]
  ) {
    const bytes = await Deno.readFile(new URL(path, golden(name))).catch(() => undefined);
    if (bytes) files[path] = path.endsWith(".safetensors") ? change(bytes) : bytes;
  }
  return filesOf(files, "memory/");
}

Deno.test("a load that fails leaves nothing that was started for it", async () => {
  const { backend, state } = watched();
  await (await load(await filesOfFolder("class_conditional"), { backend })).close();
  assertEquals(state, { open: 0, released: 0 });
  const cut = await filesOfFolder("class_conditional", (bytes) => bytes.subarray(0, -1));
  await assertRejects(() => load(cut, { backend }), InputError);
  assertEquals(state, { open: 0, released: 1 });
  const refusing = watched({ createSession: () => Promise.reject(new InputError("no room")) });
  const whole = await filesOfFolder("class_conditional");
  await assertRejects(() => load(whole, { backend: refusing.backend }), InputError, "no room");
  assertEquals(refusing.state.released, 1);
});

Deno.test("weights with numbers that are not finite, or without a tensor, are not loaded", async () => {
  const { backend } = watched();
  const changed = (
    edit: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void,
  ) =>
    filesOfFolder("class_conditional", (bytes) => {
      const { tensors } = parseSafetensors(bytes);
      const all = new Map(
        [...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
      );
      edit(all);
      return writeSafetensors(all);
    });
  const refused = async (files: Promise<Files>, says: string) => {
    const given = await files;
    await assertRejects(() => load(given, { backend }), InputError, says);
  };
  for (const value of [NaN, Infinity]) {
    const broken = changed((tensors) => tensors.get("conv_in.bias")!.data[1] = value);
    await refused(broken, 'numbers of 1 tensors are not finite (NaN or infinite): "conv_in.bias"');
  }
  await refused(
    changed((tensors) => tensors.delete("conv_in.bias")),
    'are missing: "conv_in.bias"',
  );
  const more = changed((tensors) => tensors.set("mine", { shape: [1], data: new Float32Array(1) }));
  await refused(more, '1 tensors are not in the network the config describes: "mine"');
});

Deno.test("what stands in for something that weights do not say is told once they are loaded", async () => {
  const { backend } = watched();
  const all = await filesOfFolder("class_conditional");
  const without: Files = {
    ...all,
    read:
      ((path: string, optional?: boolean) =>
        path.endsWith("scheduler_config.json") && optional
          ? Promise.resolve(undefined)
          : all.read(path, optional as true)) as Files["read"],
  };
  const said = async (files: Files) => {
    const notices: string[] = [];
    await using _ = await load(files, { backend, onNotice: (notice) => notices.push(notice) });
    return notices;
  };
  assertEquals(await said(all), []);
  const [notice, ...more] = await said(without);
  assertMatch(notice, /scheduler/);
  assertEquals(more, []);
});

Deno.test("inspect counts a picture's work, and names the parts of the network", async () => {
  const folder = await readFolder(filesAt(golden("class_conditional")));
  const report = inspectWeights(folder);
  const sizes = [...folder.tensors.values()].map(({ data }) => data.length);
  assertEquals(report.parameters, sizes.reduce((a, b) => a + b));
  assertEquals(report.memory.weights, 4 * report.parameters);
  assertEquals(report.tensors, folder.tensors.size);
  const names = report.blocks.map(({ name }) => name);
  const { block_out_channels } = report.config as { block_out_channels: number[] };
  for (let i = 0; i < block_out_channels.length; i++) {
    assert(names.includes(`down_blocks.${i}`) && names.includes(`up_blocks.${i}`), `${names}`);
  }
  for (const name of ["conv_in", "conv_out", "mid_block", "time_embedding", "class_embedding"]) {
    assert(names.includes(name), `${names}`);
  }
  const conv = report.blocks.find(({ name }) => name === "conv_in")!;
  const channels = block_out_channels[0], [C] = report.picture;
  assertEquals(conv, { name: "conv_in", tensors: 2, parameters: channels * (9 * C + 1) });
  assertEquals(report.multiply_adds, graphCost(networkGraph(folder.network), 1).multiplyAdds);
});

const port = (name: string, type: Port["type"], ...dims: (number | string)[]): Port => ({
  name,
  type,
  dims,
});

/** A graph's runs, over a session that doubles pictures and adds each one's time and ten times its label. */
function runsOf(ports: { batch: number | string; time: Port; label?: Port }, channels = 2) {
  const fed: Tensors[] = [];
  const session: Pick<Session, "run"> = {
    run(feeds) {
      fed.push(feeds);
      const { data, dims: [n] } = feeds.x;
      const each = (name: string, i: number) => {
        const numbers = feeds[name]?.data;
        return numbers === undefined ? 0 : Number(numbers[numbers.length === 1 ? 0 : i]);
      };
      const size = data.length / n;
      const out = new Float32Array(n * size * channels / 2);
      for (let i = 0; i < n; i++) {
        for (let p = 0; p < size * channels / 2; p++) {
          out[i * size * channels / 2 + p] = 2 * Number(data[i * size + p % size]) + each("t", i) +
            10 * each("y", i);
        }
      }
      return Promise.resolve({ out: { data: out, dims: [n, channels, 1, 3] } });
    },
  };
  const file = {
    shape: [2, 1, 3] as const,
    ports: {
      sample: port("x", "float32", ports.batch, 2, 1, 3),
      timestep: ports.time,
      classLabels: ports.label,
      output: port("out", "float32", "N", channels, 1, 3),
    },
  };
  const runs = new GraphRuns(file as ConstructorParameters<typeof GraphRuns>[0], session);
  return { runs, fed };
}

const times = Float32Array.of(5, 900, 5, 300), labels = Int32Array.of(1, 1, 2, 0);
const pictures = Float32Array.from({ length: 24 }, (_, i) => i);
const expected = pictures.map((x, i) =>
  2 * x + times[Math.floor(i / 6)] + 10 * labels[Math.floor(i / 6)]
);

const graphs: [what: string, ports: Parameters<typeof runsOf>[0], runs: number][] = [
  ["any batch, each its own time and label", {
    batch: "N",
    time: port("t", "float32", "N"),
    label: port("y", "int64", "N"),
  }, 1],
  ["a fixed batch of 3", {
    batch: 3,
    time: port("t", "int64", 3),
    label: port("y", "int64", 3),
  }, 2],
  ["one time for a run, as a scalar", {
    batch: "N",
    time: port("t", "int64"),
    label: port("y", "int64", "N"),
  }, 3],
  ["one time for a run, as a list of one", {
    batch: "N",
    time: port("t", "float32", 1),
    label: port("y", "int64", "N"),
  }, 3],
  ["one label for a run", {
    batch: "N",
    time: port("t", "float32", "N"),
    label: port("y", "int64", 1),
  }, 3],
  ["one of each for a run of two", {
    batch: 2,
    time: port("t", "float32", 1),
    label: port("y", "int64"),
  }, 4],
  ["a fixed batch of 1", {
    batch: 1,
    time: port("t", "float32", 1),
    label: port("y", "int32", 1),
  }, 4],
];

for (const [what, ports, runs] of graphs) {
  Deno.test(`four pictures through a graph of ${what} are ${runs} runs, and each its own answer`, async () => {
    const { runs: graph, fed } = runsOf(ports);
    const { data, channels } = await graph.evaluate(pictures, times, labels);
    assertEquals([data, channels, fed.length], [expected, 2, runs]);
    for (const feeds of fed) {
      const batch = feeds.x.dims[0];
      assertEquals(feeds.x.dims, [batch, 2, 1, 3]);
      if (typeof ports.batch === "number") assertEquals(batch, ports.batch);
      for (const [name, { dims }] of [["t", ports.time], ["y", ports.label!]] as const) {
        const wanted = dims!.length === 0 ? [] : dims![0] === 1 ? [1] : [batch];
        assertEquals(feeds[name].dims, wanted, name);
      }
    }
  });
}

Deno.test("whole-number times are rounded, halves to even; a learned variance comes with its picture", async () => {
  const { runs, fed } = runsOf({ batch: "N", time: port("t", "int64", "N") }, 4);
  const { data, channels } = await runs.evaluate(
    pictures.subarray(0, 12),
    Float32Array.of(2.5, 3.5),
  );
  assertEquals([...fed[0].t.data as BigInt64Array], [2n, 4n]);
  assertEquals([channels, data.length], [4, 24]);
  assertEquals([...data.subarray(12, 15)], [2 * 6 + 4, 2 * 7 + 4, 2 * 8 + 4]);
});

Deno.test("a graph that gives no predictions of the pictures is refused with what it gave", async () => {
  const outputs: [dims: number[], data?: Tensors[string]["data"]][] = [
    [[2, 2, 1, 3]],
    [[1, 3, 1, 3]],
    [[1, 5, 1, 3]],
    [[1, 2, 3, 1]],
    [[1, 2, 3]],
    [[1, 2, 1, 3], new Int32Array(6)],
  ];
  for (const [dims, data = new Float32Array(dims.reduce((a, b) => a * b))] of outputs) {
    const { runs } = runsOf({ batch: "N", time: port("t", "float32", "N") });
    const answering = new GraphRuns(runs.file, saying({ out: { data, dims } }));
    await assertRejects(
      () => answering.evaluate(new Float32Array(6), Float32Array.of(1)),
      Error,
      `output out: expected [1, 2 or 4, 1, 3], found [${dims.join(", ")}]`,
    );
  }
});

Deno.test("an ONNX file that answers wrongly is refused as it is loaded, and its session closed", async () => {
  const file = await readOnnx(onnxFiles(tinyOnnx()));
  let open = 0;
  const engine = (numbers: Float32Array): OnnxBackend => ({
    name: "saying",
    createSession: () => Promise.reject(new Error("takes ONNX")),
    createOnnxSession() {
      open++;
      const out = { [file.ports.output.name]: { data: numbers, dims: [1, 1, 4, 4] } };
      return Promise.resolve(watchedSession(saying(out), () => open--));
    },
  });
  const numbers = new Float32Array(16);
  const model = await openOnnx(file, engine(numbers));
  assertEquals([model.scheduler.variance_type, model.outChannels, open], ["fixed_small", 1, 1]);
  await model.close();
  for (const wrong of [NaN, Infinity]) {
    await assertRejects(
      () => openOnnx(file, engine(numbers.with(3, wrong))),
      InputError,
      "memory/net.onnx: expected numbers in its output, found some that are not finite",
    );
    assertEquals(open, 0);
  }
  const others = "memory/net.onnx: ONNX files run on wasm, webgpu and native, not on simd";
  await assertRejects(() => openOnnx(file, simdInline()), InputError, others);
});
