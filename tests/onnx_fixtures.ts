/** ONNX files for tests: small networks, and edits of them as other exporters would write. */
import { create, fromBinary, toBinary } from "npm:@bufbuild/protobuf@2.17.0";
import * as pb from "npm:onnx-buf@1.20.0-1";
import { portable } from "../src/onnx/mod.ts";
import type { Shape } from "../src/graph/mod.ts";
import { valueInfo } from "../src/onnx/proto.ts";
import { type Files, filesAt, filesOf, readText } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { paramShapes } from "../src/graph/mod.ts";
import { emitModel } from "../src/model/onnx/export.ts";
import { folderFiles, metadataOf, networkFiles } from "../src/weights/read/formats/format.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { seeded } from "./mutations.ts";

export { create, pb };

/** A folder of weights as one ONNX file, as `convert` writes it. */
export async function onnxOfFolder(url: URL): Promise<Uint8Array> {
  const files = filesAt(url);
  const configs = new Map<string, string>();
  for (const name of [folderFiles.index, networkFiles("unet").config, folderFiles.scheduler]) {
    configs.set(name, (await readText(files, name))!);
  }
  return emitModel(await readFolder(files), portable, metadataOf(configs));
}

/** A class-conditional U-Net of a few kilobytes, 1×4×4 pictures and 3 classes. */
export function tinyOnnx(): Uint8Array {
  const json = {
    sample_size: 4,
    in_channels: 1,
    out_channels: 1,
    layers_per_block: 1,
    block_out_channels: [4],
    down_block_types: ["DownBlock2D"],
    up_block_types: ["UpBlock2D"],
    norm_num_groups: 2,
    attention_head_dim: 2,
    num_class_embeds: 3,
  };
  const network = parseNetwork(json, "tiny");
  const random = seeded(1);
  const tensors = new Map(
    [...paramShapes(networkGraph(network))].map(([name, shape]) => {
      const data = Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => random() - 0.5,
      );
      return [name, { shape, data }];
    }),
  );
  const folder = {
    where: "tiny/",
    network,
    scheduler: undefined!,
    card: {},
    tensors,
    hash: "",
    configs: new Map(),
    notices: [],
  };
  return emitModel(folder, portable);
}

/** A model with some of its message changed. */
export function edited(
  bytes: Uint8Array,
  edit: (model: pb.ModelProto) => void,
): Uint8Array<ArrayBuffer> {
  const model = fromBinary(pb.ModelProtoSchema, bytes.slice());
  edit(model);
  return toBinary(pb.ModelProtoSchema, model);
}

/** Files in memory with an ONNX file among them. */
export function onnxFiles(onnx: Uint8Array, beside: Record<string, Uint8Array> = {}): Files {
  return { ...filesOf({ ...beside, "net.onnx": onnx }, "memory/"), file: "net.onnx" };
}

/** An input or output of any type; no shape is one that is not said. */
export function port(name: string, shape?: Shape, type = pb.TensorProto_DataType.FLOAT) {
  const info = valueInfo(name, "float32", shape ?? []);
  const tensor = info.type!.value.value as pb.TypeProto_Tensor;
  tensor.elemType = type;
  if (!shape) tensor.shape = undefined;
  return info;
}

/** A node by operator, inputs and outputs. */
export function node(opType: string, input: string[], output: string[], domain = "") {
  return create(pb.NodeProtoSchema, { opType, input, output, domain });
}

/**
 * `count` models whose message is whole and whose graph is not: operators, names, settings, shapes
 * and types exchanged or set to what nobody expects.
 */
export function* brokenGraphs(
  bytes: Uint8Array,
  count: number,
  seed: number,
): Generator<Uint8Array<ArrayBuffer>> {
  const random = seeded(seed);
  const below = (n: number) => Math.floor(random() * n);
  const of = <T>(list: readonly T[]): T => list[below(list.length)];
  const numbers = [0n, 1n, -1n, 2n, 3n, 7n, 255n, 65536n, 2n ** 31n, 2n ** 62n, -(2n ** 63n)];
  for (let i = 0; i < count; i++) {
    yield edited(bytes, (model) => {
      const { node: nodes, initializer, input, output } = model.graph!;
      const hit = of(nodes);
      const tensor = of(initializer);
      const attribute = hit.attribute.length > 0 ? of(hit.attribute) : undefined;
      for (let k = 1 + below(2); k > 0; k--) {
        switch (below(10)) {
          case 0:
            hit.opType = of(nodes).opType;
            break;
          case 1:
            hit.input[below(hit.input.length)] = of([
              ...nodes.map((n) => n.output[0]),
              tensor.name,
            ]);
            break;
          case 2:
            nodes.splice(nodes.indexOf(hit), 1);
            break;
          case 3:
            if (attribute) attribute.i = of(numbers);
            break;
          case 4:
            if (attribute && attribute.ints.length > 0) {
              attribute.ints[below(attribute.ints.length)] = of(numbers);
            }
            break;
          case 5:
            if (tensor.dims.length > 1) tensor.dims.reverse();
            else tensor.dims = [1n, ...tensor.dims];
            break;
          case 6:
            tensor.dataType = 1 + below(16);
            break;
          case 7:
            tensor.rawData.set([of([0, 1, 0x7f, 0xff])], below(tensor.rawData.length));
            break;
          case 8: {
            const { type } = of([...input, ...output]);
            const shaped = type!.value.value as pb.TypeProto_Tensor;
            of(shaped.shape!.dim).value = { case: "dimValue", value: of(numbers) };
            break;
          }
          case 9:
            hit.attribute = of(nodes).attribute;
        }
      }
    });
  }
}
