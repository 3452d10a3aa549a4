/** ONNX' protobuf messages for tensors, their shapes, and attributes. */
import { create } from "npm:@bufbuild/protobuf@2.17.0";
import * as pb from "npm:onnx-buf@1.20.0-1";
import { typeOfData } from "../graph/graph.ts";
import type { OnnxAttribute } from "./lowering.ts";
import type { ConstantData, ElementType, Shape } from "../graph/value.ts";

/** ONNX' numbers for element types; uint32 occurs inside lowerings alone. */
export const dataTypes: Record<ElementType | "uint32", pb.TensorProto_DataType> = {
  float32: pb.TensorProto_DataType.FLOAT,
  int32: pb.TensorProto_DataType.INT32,
  int64: pb.TensorProto_DataType.INT64,
  bool: pb.TensorProto_DataType.BOOL,
  uint8: pb.TensorProto_DataType.UINT8,
  uint32: pb.TensorProto_DataType.UINT32,
};

/** Numbers that are part of a model. */
export function tensor(name: string, data: ConstantData, dims: readonly number[]): pb.TensorProto {
  return create(pb.TensorProtoSchema, {
    name,
    dims: dims.map(BigInt),
    dataType: dataTypes[typeOfData(data)],
    rawData: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
  });
}

/** The name, type and shape of an input or output. */
export function valueInfo(name: string, type: ElementType, shape: Shape): pb.ValueInfoProto {
  const dim = shape.map((d) =>
    create(pb.TensorShapeProto_DimensionSchema, {
      value: typeof d === "number"
        ? { case: "dimValue", value: BigInt(d) }
        : { case: "dimParam", value: d },
    })
  );
  return create(pb.ValueInfoProtoSchema, {
    name,
    type: create(pb.TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(pb.TypeProto_TensorSchema, {
          elemType: dataTypes[type],
          shape: create(pb.TensorShapeProtoSchema, { dim }),
        }),
      },
    }),
  });
}

export function attribute(name: string, value: OnnxAttribute): pb.AttributeProto {
  const types = pb.AttributeProto_AttributeType;
  if (typeof value === "number") {
    return create(pb.AttributeProtoSchema, { name, type: types.INT, i: BigInt(value) });
  }
  if (typeof value === "string") {
    const s = new TextEncoder().encode(value);
    return create(pb.AttributeProtoSchema, { name, type: types.STRING, s });
  }
  if ("float" in value) {
    return create(pb.AttributeProtoSchema, { name, type: types.FLOAT, f: value.float });
  }
  return create(pb.AttributeProtoSchema, { name, type: types.INTS, ints: value.map(BigInt) });
}
