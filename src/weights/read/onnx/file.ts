/** A bare ONNX file as weights: its graph, and what it or a file beside it says of the schedule. */
import type * as pb from "npm:onnx-buf@1.20.0-1";
import { parseSchedulerConfig } from "../../../diffusion/mod.ts";
import type { SchedulerConfig } from "../../../diffusion/scheduler.ts";
import { InputError } from "../../../errors.ts";
import type { NetworkDefinition } from "../../../networks/architecture.ts";
import { parseNetwork } from "../../../networks/registry.ts";
import { parseCard, type WeightsCard } from "../card.ts";
import { type Files, filesOf, readJson, readText, settled } from "../../files.ts";
import { sha256Hex } from "../../../files/hash.ts";
import { configsIn, folderFiles, networkFilesAmong } from "../formats/format.ts";
import { checkGraph } from "../../../onnx/check.ts";
import { classCount } from "./classes.ts";
import { parseOnnx } from "../../../onnx/parse.ts";
import { findPorts, type Port, type Ports, portText } from "./ports.ts";

/** A graph that predicts noise, and everything that sampling has to know beside it. */
export interface OnnxFile {
  /** The file, as messages name it. */
  readonly where: string;
  /** The serialised model, which needs no other file. */
  readonly onnx: Uint8Array;
  readonly ports: Ports;
  /** [C, H, W] of one picture. */
  readonly shape: readonly [number, number, number];
  /** How many classes it knows; null for an unconditional network. */
  readonly classes: number | null;
  /** From the file's metadata, else `scheduler_config.json` beside it, else diffusers' defaults. */
  readonly scheduler: SchedulerConfig | undefined;
  /** From the file's metadata. */
  readonly card: WeightsCard;
  /** SHA-256 over the file and what was read beside it: what a picture depends on. */
  readonly hash: string;
  /** What it is made of. */
  readonly contents: OnnxContents;
}

/** A graph in figures. */
export interface OnnxContents {
  readonly producer: string;
  readonly opset: number;
  /** Nodes by operator, the most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  readonly tensors: number;
  /** Elements of all tensors in the file. */
  readonly parameters: number;
}

/** A scheduler's config beside the file stands in where the file has none. */
const BESIDE = "scheduler_config.json";
/** The most numbers in the pictures of one run that the graph asks for. */
const MAX_SAMPLE = 2 ** 26;

/**
 * Reads and checks the ONNX file that is meant by `files.file`, without running it.
 * @throws InputError naming what does not fit: bytes, node, tensor, input or key.
 */
export function readOnnx(files: Files): Promise<OnnxFile> {
  return settled(files, () => readGraph(files));
}

async function readGraph(files: Files): Promise<OnnxFile> {
  const name = files.file!;
  const where = files.where + name;
  const bytes = await files.read(name);
  if (!bytes) throw new InputError(`${where}: expected an ONNX file, found nothing`);
  const { model, graph, onnx } = await parseOnnx(bytes, where, (path) => files.read(path));
  checkGraph(model, graph, where);
  const ports = findPorts(graph, where);

  const { network, modelIndex, schedulerText } = await readMetadata(model, where);
  const beside = schedulerText === undefined ? await readText(files, BESIDE, true) : undefined;
  const schedulerWhere = beside === undefined ? where : files.where + BESIDE;
  const text = schedulerText ?? beside;
  const classes = ports.classLabels
    ? classCount(graph, ports.classLabels.name) ?? network?.classes ?? undefined
    : null;
  if (classes === undefined) {
    throw new InputError(
      `${where}: expected input "${
        ports.classLabels!.name
      }" to pick rows (Gather) of a table in the file, found no such node; the number of classes is not known`,
    );
  }
  return {
    where,
    onnx,
    ports,
    shape: pictureShape(ports.sample, network, where),
    classes,
    scheduler: text === undefined ? undefined : parseSchedulerConfig(text, schedulerWhere),
    card: parseCard(modelIndex, classes, where),
    hash: await sha256Hex(
      new TextEncoder().encode(JSON.stringify([await sha256Hex(onnx), beside ?? null])),
    ),
    contents: contentsOf(model, graph),
  };
}

/** The configs that `convert` wrote into the file. */
async function readMetadata(model: pb.ModelProto, where: string) {
  const metadata = Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
  const configs = configsIn(metadata);
  const encoder = new TextEncoder();
  const files = filesOf(
    Object.fromEntries([...configs].map(([name, text]) => [name, encoder.encode(text)])),
    `${where}: metadata `,
  );
  const path = networkFilesAmong(configs.keys())?.config;
  const network = path && parseNetwork(await readJson(files, path), files.where + path);
  const modelIndex = await readJson(files, folderFiles.index);
  return {
    network: network || undefined,
    modelIndex,
    schedulerText: configs.get(folderFiles.scheduler),
  };
}

function pictureShape(sample: Port, network: NetworkDefinition | undefined, where: string) {
  const known = network?.shape;
  const [batch, ...dims] = sample.dims!;
  const [channels, height, width] = dims.map((dim, i) =>
    typeof dim === "number" ? dim : known?.[i]
  );
  const refuse = (expected: string): never => {
    throw new InputError(`${where}: ${portText(sample)}: ${expected}`);
  };
  if (!channels || !height || !width) {
    return refuse("expected fixed channels, height and width; export it for one size of picture");
  }
  if ((typeof batch === "number" ? batch : 1) * channels * height * width > MAX_SAMPLE) {
    return refuse(`expected up to ${MAX_SAMPLE} numbers`);
  }
  if (width <= 4 && channels > 4) return refuse("expected channels before height and width");
  return [channels, height, width] as const;
}

function contentsOf(model: pb.ModelProto, graph: pb.GraphProto): OnnxContents {
  const byOperator = Map.groupBy(graph.node, ({ opType }) => opType);
  const counts = [...byOperator].map(([type, nodes]) => [type, nodes.length] as const);
  const opset = model.opsetImport.find(({ domain }) => domain === "" || domain === "ai.onnx");
  return {
    producer: `${model.producerName} ${model.producerVersion}`.trim() || "unnamed",
    opset: Number(opset?.version ?? 0),
    operators: Object.fromEntries(counts.sort(([, a], [, b]) => b - a)),
    tensors: graph.initializer.length,
    parameters: graph.initializer.reduce(
      (sum, { dims }) => sum + dims.reduce((n, d) => n * Number(d), 1),
      0,
    ),
  };
}
