/** Which ONNX files are no weights, and what is said of them. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { load } from "../src/model/load.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import { create, edited, node, onnxFiles, pb, port, tinyOnnx } from "./onnx_fixtures.ts";

const types = pb.TensorProto_DataType;

const N = "N";
const picture = [N, 3, 8, 8];
const ports: Record<
  string,
  { input: pb.ValueInfoProto[]; output?: pb.ValueInfoProto[]; says: string }
> = {
  "no timestep": {
    input: [port("sample", picture)],
    says: "class_labels [N], found the inputs sample float32 [N, 3, 8, 8]",
  },
  "labels in place of a timestep": {
    input: [port("sample", picture), port("y", [N], types.INT64)],
    says: "class_labels [N], found the inputs sample float32 [N, 3, 8, 8], y int64 [N]",
  },
  "two inputs that may be either": {
    input: [port("a", picture), port("b", [N]), port("d", [N], types.INT64)],
    says: "class_labels [N], found the inputs a float32 [N, 3, 8, 8], b float32 [N], d int64 [N]",
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
    says:
      "expected one output, float32 [N, C or 2C, H, W], found eps float32 [N, 3, 8, 8], attention float32 [N, 4, 64, 64]",
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
    says: "net.onnx: functions of its own (f …); save it with them inlined",
  },
  "a tensor without all its numbers": {
    edit: ({ initializer: [first] }) => first.dims = [...first.dims, 2n],
    says: ": expected 4 elements, found 2",
  },
  "a stride of 0": {
    edit: ({ node: nodes }) => {
      const conv = nodes.find(({ opType }) => opType === "Conv")!;
      conv.attribute.find(({ name }) => name === "strides")!.ints = [0n, 1n];
    },
    says: "strides: expected 1 to 65536, found 0",
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
    await assertRejects(() => load(onnxFiles(file), { backend: "native" }), InputError, says);
  });
}

/** The file with its first tensor moved into another, as PyTorch's exporter does. */
