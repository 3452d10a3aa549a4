/** Parses an ONNX file and takes its external data in. */
import { fromBinary, toBinary } from "npm:@bufbuild/protobuf@2.17.0";
import * as pb from "npm:onnx-buf@1.20.0-1";
import { InputError, shown } from "../errors.ts";

/** A model's message, and the same model as bytes that need no other file. */
export interface ParsedOnnx {
  readonly model: pb.ModelProto;
  readonly graph: pb.GraphProto;
  readonly onnx: Uint8Array;
}

/**
 * Reads an ONNX file. Tensors that lie in files beside it, as PyTorch's exporter writes them, are
 * taken in.
 * @param beside gives the bytes of a file in the same folder
 * @throws InputError for other bytes, or a file beside it that is missing or too short.
 */
export async function parseOnnx(
  bytes: Uint8Array,
  where: string,
  beside: (name: string) => Promise<Uint8Array | undefined>,
): Promise<ParsedOnnx> {
  const model = decode(bytes, where);
  if (!model.graph || model.graph.node.length === 0) {
    throw new InputError(`${where}: expected an ONNX model, found one without a graph`);
  }
  const { graph } = model;
  const external = tensorsOf(graph).filter(isExternal);
  if (external.length === 0) return { model, graph, onnx: bytes };
  // Many tensors lie in one file, which may be large or far away: it is read once.
  const files = new Map<string, Promise<Uint8Array | undefined>>();
  const once = (name: string) => {
    if (!files.has(name)) files.set(name, beside(name));
    return files.get(name)!;
  };
  for (const tensor of external) await takeIn(tensor, where, once);
  return { model, graph, onnx: toBinary(pb.ModelProtoSchema, model) };
}

/** Initializers, and the tensors that nodes carry as attributes. */
export function tensorsOf({ initializer, node }: pb.GraphProto): pb.TensorProto[] {
  const carried = node.flatMap(({ attribute }) =>
    attribute.flatMap(({ t, tensors }) => t ? [t, ...tensors] : tensors)
  );
  return [...initializer, ...carried];
}

function decode(bytes: Uint8Array, where: string): pb.ModelProto {
  try {
    return fromBinary(pb.ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw new InputError(`${where}: expected an ONNX model (${(error as Error).message})`);
  }
}

function isExternal({ dataLocation, externalData }: pb.TensorProto): boolean {
  return dataLocation === pb.TensorProto_DataLocation.EXTERNAL || externalData.length > 0;
}

async function takeIn(
  tensor: pb.TensorProto,
  where: string,
  beside: (name: string) => Promise<Uint8Array | undefined>,
): Promise<void> {
  const { location = "", offset = "0", length } = Object.fromEntries(
    tensor.externalData.map(({ key, value }) => [key, value]),
  );
  if (!/^[\w-][\w. -]*$/.test(location)) {
    throw new InputError(
      `${where}: tensor "${tensor.name}": expected the name of a file beside it, found ${
        shown(location)
      }`,
    );
  }
  const file = await beside(location);
  if (!file) {
    throw new InputError(`${where}: tensor "${tensor.name}" lies in ${location}, found none there`);
  }
  const start = Number(offset);
  const end = length === undefined ? file.length : start + Number(length);
  if (!(Number.isSafeInteger(start) && start >= 0 && start <= end && end <= file.length)) {
    throw new InputError(
      `${where}: tensor "${tensor.name}" asks for bytes ${start} to ${end} of ${location}, which has ${file.length}`,
    );
  }
  tensor.rawData = file.slice(start, end) as Uint8Array<ArrayBuffer>;
  tensor.externalData = [];
  tensor.dataLocation = pb.TensorProto_DataLocation.DEFAULT;
}
