/** Which input of an ONNX graph is what, and what else a bare file says. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError, shown } from "../src/errors.ts";
import { operators } from "../src/onnx/operators.ts";
import { parseOnnx, tensorsOf } from "../src/onnx/parse.ts";
import { typeName } from "../src/onnx/check.ts";
import { findPorts, portText } from "../src/weights/read/onnx/ports.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import { create, edited, node, onnxFiles, pb, port, tinyOnnx } from "./onnx_fixtures.ts";

const types = pb.TensorProto_DataType;
const tiny = tinyOnnx();
const sample = port("sample", ["N", 3, 8, 8]);

function ports(input: pb.ValueInfoProto[], initializer: pb.TensorProto[] = []) {
  const output = [port("out", ["N", 3, 8, 8])];
  const found = findPorts(create(pb.GraphProtoSchema, { input, output, initializer }), "net.onnx");
  return [found.timestep.name, found.classLabels?.name];
}

Deno.test("timestep and labels are told by their names, in whatever letters, else by their shapes", () => {
  const t = (name: string, type = types.FLOAT, shape: ("N" | number)[] = ["N"]) =>
    port(name, shape, type);
  for (const type of [types.FLOAT, types.INT64, types.INT32]) {
    for (const shape of [["N"], [1], []] as const) {
      assertEquals(ports([sample, t("anything", type, [...shape])]), ["anything", undefined]);
      assertEquals(ports([t("b", type, [...shape]), sample, t("Class_Labels.1", types.INT64)]), [
        "b",
        "Class_Labels.1",
      ]);
    }
  }
  const both: [string, string][] = [["T", "y"], ["TimeStep", "c"], ["time_step.1", "x"], [
    "ts",
    "b",
  ]];
  for (const [time, label] of both) {
    assertEquals(ports([sample, t(time), t(label)]), [time, label]);
    assertEquals(ports([sample, t(label), t(time)]), [time, label]);
  }
  assertEquals(ports([sample, t("a"), t("labels")]), ["a", "labels"]);
  assertEquals(ports([sample, t("a"), t("b", types.INT64, [])]), ["b", "a"]);
  // A name says more than a shape.
  assertEquals(ports([sample, t("t"), t("b", types.INT64, [])]), ["t", "b"]);
  assertEquals(ports([sample, t("y", types.INT64, []), t("b")]), ["b", "y"]);
});

Deno.test("inputs that may be either, that are too many or of other types are refused with their list", () => {
  const t = (name: string, ...shape: number[]) => port(name, shape);
  const refused: pb.ValueInfoProto[][] = [
    [],
    [sample],
    [t("t", 1)],
    [sample, t("y", 1)],
    [sample, t("a", 1), t("b", 1)],
    [sample, t("a"), t("b")],
    [sample, t("t", 1), t("time", 1)],
    [sample, t("t"), t("steps")],
    [sample, t("t"), t("time", 1)],
    [sample, t("y"), t("labels", 1)],
    [sample, t("y", 1), t("labels", 1)],
    [sample, t("t", 1), t("y", 1), t("z", 1)],
    [sample, t("t", 1, 1)],
    [sample, port("t")],
    [sample, port("t", [1], types.FLOAT16)],
    [sample, port("t", [1], types.BOOL)],
    [sample, port("t", [1], types.BOOL), t("y", 1)],
    [sample, t("t", 1), port("y", [1], types.BOOL)],
    [sample, port("x", ["N", 3, 8, 8]), t("t", 1)],
  ];
  for (const input of refused) {
    const error = assertThrows(() => ports(input), InputError, "found the inputs ");
    for (const { name } of input) assert(error.message.includes(`${name} `), error.message);
    if (input.length === 0) assert(error.message.endsWith("found the inputs none"), error.message);
  }
});

Deno.test("the output is the only picture among what a graph gives, of a shape that is said or not", () => {
  const found = (...output: pb.ValueInfoProto[]) =>
    findPorts(create(pb.GraphProtoSchema, { input: [sample, port("t", [1])], output }), "net.onnx")
      .output;
  const told = (...output: pb.ValueInfoProto[]) =>
    assertThrows(() => found(...output), InputError).message;
  const picture = port("out", ["N", 6, 8, 8]), state = port("state", ["N", 3]);
  assertEquals(found(picture).name, "out");
  assertEquals(found(state, picture).name, "out");
  assertEquals(found(state, port("any")).dims, undefined);
  const expected = "net.onnx: expected one output, float32 [N, C or 2C, H, W], found ";
  assertEquals(told(), `${expected}none`);
  assertEquals(told(state), `${expected}state float32 [N, 3]`);
  assertEquals(
    told(picture, port("any")),
    `${expected}${portText(found(picture))}, any float32 ${"of any shape"}`,
  );
  const half = port("out", ["N", 3, 8, 8], types.FLOAT16);
  assertEquals(
    told(half),
    "net.onnx: out float16 [N, 3, 8, 8]: expected float32; export with float32 inputs and outputs (weights may be smaller)",
  );
  // Lists and maps are no tensors.
  const list = create(pb.ValueInfoProtoSchema, {
    name: "list",
    type: create(pb.TypeProtoSchema, {
      value: { case: "sequenceType", value: create(pb.TypeProto_SequenceSchema, {}) },
    }),
  });
  const bare = create(pb.ValueInfoProtoSchema, { name: "bare" });
  assertEquals(
    told(list, bare),
    `${expected}list sequenceType of any shape, bare untyped of any shape`,
  );
});

Deno.test("inputs whose numbers are in the file are no inputs; a dimension of 0 is not fixed", () => {
  const held = create(pb.TensorProtoSchema, { name: "conv.weight" });
  assertEquals(ports([sample, port("t", [1]), port("conv.weight", [4])], [held]), ["t", undefined]);
  const open = port("sample", [1, 3, 8, 8]);
  const shaped = open.type!.value.value as pb.TypeProto_Tensor;
  shaped.shape!.dim[2].value = { case: "dimValue", value: 0n };
  shaped.shape!.dim[3].value = { case: "dimParam", value: "" };
  const graph = create(pb.GraphProtoSchema, {
    input: [open, port("t", [1])],
    output: [port("out", [1, 3, 8, 8])],
  });
  assertEquals(portText(findPorts(graph, "x").sample), "sample float32 [1, 3, ?, ?]");
  assertEquals(portText({ name: "a", type: "int64" }), "a int64 of any shape");
  const names = [types.FLOAT, types.DOUBLE, types.FLOAT16, types.STRING, 99].map(typeName);
  assertEquals(names, ["float32", "float64", "float16", "string", "number 99"]);
});

const withSample = (...shape: (string | number)[]) =>
  readOnnx(onnxFiles(edited(tiny, ({ graph }) => {
    graph!.input[0] = port("sample", shape);
  })));

Deno.test("a picture has a size, within a limit over the whole batch, and its channels in front", async () => {
  assertEquals((await withSample("N", 1, 4, 4)).shape, [1, 4, 4]);
  assertEquals((await withSample(2, 4, 8192, 1024)).shape, [4, 8192, 1024]);
  assertEquals((await withSample("N", 4, 8192, 2048)).shape, [4, 8192, 2048]);
  assertEquals((await withSample("N", 4, 9, 3)).shape, [4, 9, 3]);
  assertEquals((await withSample("N", 5, 9, 5)).shape, [5, 9, 5]);
  const refused: [(string | number)[], string][] = [
    [["N", 3, "H", 8], "expected fixed channels, height and width"],
    [["N", "C", 8, 8], "expected fixed channels, height and width"],
    [[2, 4, 8192, 1025], "expected up to 67108864 numbers"],
    [["N", 4, 8192, 2049], "expected up to 67108864 numbers"],
    [["N", 9, 9, 4], "expected channels before height and width"],
    [["N", 32, 32, 3], "expected channels before height and width"],
    [["N", 5, 9, 4], "expected channels before height and width"],
  ];
  for (const [shape, says] of refused) {
    await assertRejects(() => withSample(...shape), InputError, says);
  }
});

Deno.test("a file's hash is of it and of the schedule beside it, where it has none itself", async () => {
  const beside = (T: number) => ({
    "scheduler_config.json": new TextEncoder().encode(`{"num_train_timesteps": ${T}}`),
  });
  const hashes = await Promise.all([
    readOnnx(onnxFiles(tiny)),
    readOnnx(onnxFiles(tiny, beside(50))),
    readOnnx(onnxFiles(tiny, beside(60))),
    readOnnx(onnxFiles(edited(tiny, (model) => model.producerName = "another"))),
  ]).then((files) => files.map(({ hash }) => hash));
  assertEquals(new Set(hashes).size, 4);
  const own = edited(tiny, (model) => {
    const key = "denoise:scheduler/scheduler_config.json";
    model.metadataProps.push(
      create(pb.StringStringEntryProtoSchema, { key, value: '{"num_train_timesteps": 70}' }),
    );
  });
  const [alone, with50] = [
    await readOnnx(onnxFiles(own)),
    await readOnnx(onnxFiles(own, beside(50))),
  ];
  assertEquals([alone.scheduler?.num_train_timesteps, with50.hash], [70, alone.hash]);
});

Deno.test("what a file and the one beside it say is refused under the name of who says it", async () => {
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const refused = async (onnx: Uint8Array, beside: Record<string, Uint8Array> = {}) =>
    (await assertRejects(() => readOnnx(onnxFiles(onnx, beside)), InputError) as Error).message;
  const wrong = { num_train_timesteps: "many" };
  const beside = await refused(tiny, { "scheduler_config.json": json(wrong) });
  assert(beside.startsWith("memory/scheduler_config.json: num_train_timesteps"), beside);
  const saying = (key: string, value: unknown) =>
    edited(tiny, (model) =>
      model.metadataProps.push(
        create(pb.StringStringEntryProtoSchema, { key, value: JSON.stringify(value) }),
      ));
  const own = await refused(saying("denoise:scheduler/scheduler_config.json", wrong));
  assert(own.startsWith("memory/net.onnx: num_train_timesteps"), own);
  const config = await refused(saying("denoise:unet/config.json", { sample_size: "many" }));
  assert(config.startsWith("memory/net.onnx: metadata unet/config.json: sample_size"), config);
  const card = await refused(saying("denoise:model_index.json", { _denoise: { null_label: 3 } }));
  const below = "memory/net.onnx: _denoise: null_label: expected an index below num_class_embeds 3";
  assert(card.startsWith(below), card);
  const fine = saying("denoise:model_index.json", { _denoise: { null_label: 2 } });
  assertEquals((await readOnnx(onnxFiles(fine))).card, { null_label: 2 });
  const none = { ...onnxFiles(tiny), file: "other.onnx" };
  const nothing = "memory/other.onnx: expected an ONNX file, found nothing";
  await assertRejects(() => readOnnx(none), InputError, nothing);
});

Deno.test("classes are counted in the graph, else said by its own config", async () => {
  const config = (num_class_embeds: number | null) =>
    JSON.stringify({
      ...{ sample_size: 4, in_channels: 1, out_channels: 1, layers_per_block: 1 },
      ...{ block_out_channels: [4], norm_num_groups: 2, attention_head_dim: 2, num_class_embeds },
      ...{ down_block_types: ["DownBlock2D"], up_block_types: ["UpBlock2D"] },
    });
  const classes = async (said: number | null, hidden = true) => {
    const file = edited(tiny, ({ graph, metadataProps }) => {
      const gather = graph!.node.find(({ opType }) => opType === "Gather")!;
      if (hidden) gather.opType = "GatherND";
      metadataProps.push(create(pb.StringStringEntryProtoSchema, {
        key: "denoise:unet/config.json",
        value: config(said),
      }));
    });
    return (await readOnnx(onnxFiles(file))).classes;
  };
  assertEquals([await classes(5), await classes(5, false)], [5, 3]);
  const unknown = 'expected input "class_labels" to pick rows (Gather) of a table';
  await assertRejects(() => classes(null), InputError, unknown);
});

Deno.test("a graph in figures: who made it, its opset and its operators, the most frequent first", async () => {
  const { contents } = await readOnnx(onnxFiles(tiny));
  assertEquals(contents.producer, "denoise");
  edited(tiny, ({ graph, metadataProps }) => {
    assertEquals([graph!.name, metadataProps.length], ["unet", 0], "its folder's name");
    const sizes = graph!.initializer.map(({ dims }) => dims.reduce((n, d) => n * Number(d), 1));
    const parameters = sizes.reduce((a, b) => a + b);
    assertEquals([contents.tensors, contents.parameters], [sizes.length, parameters]);
  });
  assertEquals(contents.opset, 21);
  const counts = Object.values(contents.operators);
  assertEquals(counts, counts.toSorted((a, b) => b - a));
  assert(counts[0] > counts.at(-1)!);
  assertEquals(contents.operators.ConvTranspose, undefined);
  const versioned = edited(tiny, (model) => {
    model.producerVersion = "1.2";
    model.opsetImport = [
      create(pb.OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n }),
    ];
  });
  const { producer, opset } = (await readOnnx(onnxFiles(versioned))).contents;
  assertEquals([producer, opset], ["denoise 1.2", 0]);
  const other = edited(tiny, (model) => {
    [model.producerName, model.producerVersion] = ["", ""];
    model.opsetImport[0].domain = "ai.onnx";
    model.graph!.initializer.push(
      create(pb.TensorProtoSchema, {
        dims: [2n, 3n],
        dataType: types.FLOAT,
        rawData: new Uint8Array(24),
      }),
    );
  });
  const found = (await readOnnx(onnxFiles(other))).contents;
  assertEquals([found.producer, found.opset], ["unnamed", 21]);
  assertEquals(found.tensors - contents.tensors, 1);
  assertEquals(found.parameters - contents.parameters, 6);
});

Deno.test("the standard's operators go by either name of its domain, and no others do", () => {
  const standard = operators.get("")!;
  assertEquals(operators.get("ai.onnx"), standard);
  assertEquals([...operators.keys()], ["", "ai.onnx", "com.microsoft"]);
  // What the exporters of torch, keras and jax write for networks over pictures.
  const exported =
    "Conv ConvTranspose Gemm MatMul Einsum AveragePool MaxPool GlobalAveragePool GlobalMaxPool " +
    "BatchNormalization InstanceNormalization GroupNormalization LayerNormalization RMSNormalization " +
    "Attention Softmax LogSoftmax Relu LeakyRelu PRelu Elu Celu Selu Gelu Mish Swish HardSwish " +
    "HardSigmoid Sigmoid Softplus Softsign Tanh Erf Exp Log Sqrt Reciprocal Pow Sin Cos Abs Neg Sign " +
    "Floor Ceil Round Clip Add Sub Mul Div Mod Min Max Mean Sum ReduceSum ReduceMean ReduceMax " +
    "ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ArgMax ArgMin CumSum Equal Less Greater " +
    "LessOrEqual GreaterOrEqual And Or Not Xor Where Cast CastLike Identity Dropout Constant " +
    "ConstantOfShape Shape Size Range Reshape Flatten Squeeze Unsqueeze Transpose Concat Split Slice " +
    "Gather GatherElements GatherND ScatterElements ScatterND Expand Tile Pad Trilu OneHot EyeLike " +
    "NonZero IsNaN IsInf Resize Upsample DepthToSpace SpaceToDepth QuantizeLinear DequantizeLinear";
  // And of quantised ones, and what is rare.
  const rare = "ConvInteger DynamicQuantizeLinear LpNormalization MatMulInteger QLinearConv " +
    "QLinearMatMul ReduceLogSum ReduceLogSumExp Tan ThresholdedRelu";
  assertEquals([...standard].sort(), `${exported} ${rare}`.split(" ").sort());
  for (
    const name of ["If", "Loop", "Scan", "RandomNormal", "Multinomial", "Bernoulli", "FusedConv"]
  ) {
    assert(!standard.has(name), name);
  }
  const fused =
    "Attention BiasAdd BiasGelu BiasSplitGelu FastGelu FusedConv FusedGemm FusedMatMul " +
    "Gelu GroupNorm LayerNormalization MatMulNBits MultiHeadAttention NhwcConv QAttention " +
    "QLinearAdd QLinearConcat QLinearMul QLinearSigmoid QuickGelu SkipGroupNorm " +
    "SkipLayerNormalization";
  assertEquals([...operators.get("com.microsoft")!], fused.split(" "));
});

/** A model whose only tensor lies elsewhere, by what it says of where. */
function external(entries: Record<string, string>, location?: pb.TensorProto_DataLocation) {
  const tensor = create(pb.TensorProtoSchema, {
    name: "w",
    dims: [2n],
    dataType: types.UINT8,
    dataLocation: location,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(pb.StringStringEntryProtoSchema, { key, value })
    ),
  });
  const graph = create(pb.GraphProtoSchema, {
    initializer: [tensor],
    node: [node("Identity", ["x"], ["y"])],
  });
  return edited(new Uint8Array(), (model) => model.graph = graph);
}

Deno.test("external data are bytes of a file beside the model, from an offset on, to a length or the end", async () => {
  const data = Uint8Array.of(1, 2, 3, 4);
  const asked: string[] = [];
  const of = async (entries: Record<string, string>, location?: pb.TensorProto_DataLocation) => {
    const { graph } = await parseOnnx(external(entries, location), "net.onnx", (name) => {
      asked.push(name);
      return Promise.resolve(data);
    });
    const [tensor] = tensorsOf(graph);
    assertEquals([tensor.externalData.length, tensor.dataLocation], [0, 0]);
    return [...tensor.rawData];
  };
  const EXTERNAL = pb.TensorProto_DataLocation.EXTERNAL;
  assertEquals(await of({ location: "w.data" }), [1, 2, 3, 4]);
  assertEquals(await of({ location: "w.data" }, EXTERNAL), [1, 2, 3, 4]);
  assertEquals(await of({ location: "a b-1.data", offset: "1" }), [2, 3, 4]);
  assertEquals(await of({ location: "w", offset: "1", length: "2" }), [2, 3]);
  assertEquals(await of({ location: "w", offset: "4" }), []);
  assertEquals(asked, ["w.data", "w.data", "a b-1.data", "w", "w"]);
  const wrong: Record<string, string>[] = [{ offset: "5" }, { length: "5" }, { length: "-1" }];
  wrong.push({ offset: "-1" }, { offset: "x" }, { offset: "0.5" }, { offset: "2", length: "3" });
  for (const entries of wrong) {
    await assertRejects(() => of({ location: "w", ...entries }), InputError, "asks for bytes");
  }
  for (const location of ["", "../w", "/w", "a/w", "a\\w", ".w", "w\n", "file:w"]) {
    const says = `net.onnx: tensor "w": expected the name of a file beside it, found ${
      shown(location)
    }`;
    await assertRejects(() => of({ location }), InputError, says);
  }
  await assertRejects(() => of({}, EXTERNAL), InputError, "the name of a file beside it");
  await assertRejects(
    () => of({ location: "w", offset: "3", length: "2" }),
    InputError,
    'net.onnx: tensor "w" asks for bytes 3 to 5 of w, which has 4',
  );
});

Deno.test("a model is a graph of nodes, given on as it is where it needs no other file", async () => {
  const read = (bytes: Uint8Array, found?: Uint8Array) =>
    parseOnnx(bytes, "net.onnx", () => Promise.resolve(found));
  const whole = await read(tiny);
  assert(whole.onnx === tiny && whole.graph === whole.model.graph);
  const [model, w] = [external({ location: "w" }), Uint8Array.of(3, 4)];
  const { onnx, graph } = await read(model, w);
  assertEquals(graph.initializer[0].rawData, w);
  assertEquals((await read(onnx)).graph.initializer, graph.initializer);
  const none = 'net.onnx: tensor "w" lies in w, found none there';
  await assertRejects(() => read(model), InputError, none);
  const empty = "net.onnx: expected an ONNX model, found one without a graph";
  const graphs = [undefined, create(pb.GraphProtoSchema, {})];
  for (const graph of graphs) {
    const bare = edited(new Uint8Array(), (model) => model.graph = graph);
    await assertRejects(() => read(bare), InputError, empty);
  }
  const text = new TextEncoder().encode("no model at all");
  await assertRejects(() => read(text), InputError, "net.onnx: expected an ONNX model (");
});

Deno.test("tensors are looked for wherever a graph may keep them", () => {
  const tensor = (name: string) => create(pb.TensorProtoSchema, { name });
  const carrying = node("Constant", [], ["y"]);
  carrying.attribute = [
    create(pb.AttributeProtoSchema, { t: tensor("b") }),
    create(pb.AttributeProtoSchema, { tensors: [tensor("c"), tensor("d")] }),
    create(pb.AttributeProtoSchema, { t: tensor("e"), tensors: [tensor("f")] }),
    create(pb.AttributeProtoSchema, { i: 7n }),
  ];
  const graph = create(pb.GraphProtoSchema, { initializer: [tensor("a")], node: [carrying] });
  assertEquals(tensorsOf(graph).map(({ name }) => name), ["a", "b", "c", "d", "e", "f"]);
});
