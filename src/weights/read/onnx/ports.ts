/** Which of a graph's inputs and outputs is what, by name and shape. */
import type * as pb from "npm:onnx-buf@1.20.0-1";
import { InputError } from "../../../errors.ts";
import { typeName } from "../../../onnx/check.ts";

/** An input or output as the file declares it. */
export interface Port {
  readonly name: string;
  /** "float32", "int64", … */
  readonly type: string;
  /** A number, or a name for a dimension that is known only when the graph runs; undefined: unsaid. */
  readonly dims?: readonly (number | string)[];
}

/** What a noise-predicting graph is fed and gives back. */
export interface Ports {
  /** x_t: float32 [N, C, H, W]. */
  readonly sample: Port;
  /** t: [N], [1] or []. */
  readonly timestep: Port;
  /** Class indices, likewise; undefined for an unconditional network. */
  readonly classLabels?: Port;
  /** float32 [N, C or 2C, H, W]. */
  readonly output: Port;
}

const EXPECTED =
  "expected a float32 sample [N, C, H, W], a timestep [N] or [] and, for classes, class_labels [N]";
const timestepNames = ["timestep", "timesteps", "time", "times", "t", "ts", "step", "steps"];
const labelNames = ["classlabels", "classlabel", "labels", "label", "y", "class", "classes", "c"];

/** @throws InputError that lists what was found where it cannot be told apart. */
export function findPorts(graph: pb.GraphProto, where: string): Ports {
  const held = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter(({ name }) => !held.has(name)).map(portOf);
  const refuse = (): never => {
    const found = inputs.map(portText).join(", ") || "none";
    throw new InputError(`${where}: ${EXPECTED}, found the inputs ${found}`);
  };
  const pictures = inputs.filter(({ dims }) => dims?.length === 4);
  const small = inputs.filter(({ dims }) => dims && dims.length <= 1);
  if (pictures.length !== 1 || pictures.length + small.length !== inputs.length) return refuse();
  const [sample] = pictures;
  if (sample.type !== "float32") throw otherType(sample, where);
  if (!small.every(({ type }) => ["float32", "int64", "int32"].includes(type))) return refuse();
  const timestep = timestepOf(small) ?? refuse();
  const classLabels = small.find((port) => port !== timestep);
  return { sample, timestep, classLabels, output: outputOf(graph, where) };
}

/** The timestep among the inputs that are no pictures: by name, else the only scalar. */
function timestepOf(small: readonly Port[]): Port | undefined {
  const named = small.filter(({ name }) => timestepNames.includes(plain(name)));
  const labels = small.filter(({ name }) => labelNames.includes(plain(name)));
  const scalars = small.filter(({ dims }) => dims!.length === 0);
  if (small.length === 1) return labels.length === 0 ? small[0] : undefined;
  if (small.length !== 2) return undefined;
  if (named.length === 1) return named[0];
  if (labels.length === 1) return small.find((port) => port !== labels[0]);
  return named.length + labels.length === 0 && scalars.length === 1 ? scalars[0] : undefined;
}

function outputOf(graph: pb.GraphProto, where: string): Port {
  const outputs = graph.output.map(portOf);
  const pictures = outputs.filter(({ dims }) => dims === undefined || dims.length === 4);
  if (pictures.length !== 1) {
    const found = outputs.map(portText).join(", ") || "none";
    throw new InputError(
      `${where}: expected one output, float32 [N, C or 2C, H, W], found ${found}`,
    );
  }
  if (pictures[0].type !== "float32") throw otherType(pictures[0], where);
  return pictures[0];
}

function otherType(port: Port, where: string): InputError {
  return new InputError(
    `${where}: ${
      portText(port)
    }: expected float32; export with float32 inputs and outputs (weights may be smaller)`,
  );
}

/** "time_step" and "timestep.1" are "timestep". */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z]/g, "");
}

function portOf({ name, type }: pb.ValueInfoProto): Port {
  if (type?.value.case !== "tensorType") return { name, type: type?.value.case ?? "untyped" };
  const { elemType, shape } = type.value.value;
  const dims = shape?.dim.map(({ value }) => {
    if (value.case === "dimParam") return value.value || "?";
    return value.case === "dimValue" && value.value > 0n ? Number(value.value) : "?";
  });
  return { name, type: typeName(elemType), dims };
}

/** "sample float32 [N, 3, 32, 32]". */
export function portText({ name, type, dims }: Port): string {
  return `${name} ${type} ${dims ? `[${dims.join(", ")}]` : "of any shape"}`;
}
