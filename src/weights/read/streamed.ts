/** A folder whose tensors come one after another and never lie in memory together. */
import { allFinite } from "../../diffusion/combine.ts";
import type { StreamedWeights } from "../../backends/backend.ts";
import { InputError } from "../../errors.ts";
import { streamSafetensors } from "../../files/safetensors_stream.ts";
import { type Graph, paramShapes } from "../../graph/mod.ts";
import { type NetworkDefinition, networkGraph } from "../../networks/architecture.ts";
import { matchShapes, requireFinite } from "../../networks/match_tensors.ts";
import { networkFolders, parseNetwork } from "../../networks/registry.ts";
import { type Files, parseJson } from "../files.ts";
import {
  type Configs,
  describe,
  firstText,
  hashOf,
  indexPaths,
  refuseOnnx,
  schedulerText,
  type WeightsFolder,
} from "./folder.ts";

/** Files of which large ones need not be read whole. */
export interface StreamedFiles extends Files {
  /** The file's bytes as they come, or undefined where there is none of that name. */
  stream(path: string): Promise<ReadableStream<Uint8Array> | undefined>;
}

/** Makes the SHA-256 of what it is told, piece by piece. */
export interface Digest {
  update(bytes: Uint8Array): void | Promise<void>;
  /** In lower-case hex. */
  hex(): string | Promise<string>;
}

/** Everything a folder says, and its weights, which can be read once. */
export interface StreamedFolder extends Omit<WeightsFolder, "tensors" | "hash"> {
  readonly graph: Graph;
  readonly weights: StreamedWeights;
  /** The folder's hash, once the weights have been read. */
  hash(): Promise<string>;
}

const names = ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"];

/**
 * Reads a diffusers folder's configs and the header of its safetensors file.
 * @throws InputError as `readFolder`; what is wrong with numbers is thrown while they are read
 */
export async function streamFolder(files: StreamedFiles, digest: Digest): Promise<StreamedFolder> {
  refuseOnnx(files);
  for (const part of [...networkFolders.map((folder) => `${folder}/`), ""]) {
    const text = await firstText(files, [`${part}config.json`]);
    if (text === undefined) continue;
    const where = `${files.where}${part}config.json`;
    const config = parseJson(text, where);
    const network = parseNetwork(config, where);
    const scheduler = await schedulerText(files, part);
    const configs: Configs = {
      config,
      text,
      scheduler,
      index: await firstText(files, indexPaths(part)),
    };
    const described = describe(files.where, network, configs);
    const graph = networkGraph(network);
    return {
      ...described,
      graph,
      weights: await weightsIn(files, part, network, paramShapes(graph), digest),
      hash: async () => await hashOf(files.where, configs, await digest.hex()),
    };
  }
  throw new InputError(
    `${files.where}: expected a diffusers folder (${
      networkFolders.map((folder) => `${folder}/`)
    } or config.json)`,
  );
}

async function weightsIn(
  files: StreamedFiles,
  part: string,
  { architecture }: NetworkDefinition,
  shapes: ReadonlyMap<string, readonly number[]>,
  digest: Digest,
): Promise<StreamedWeights> {
  for (const name of names) {
    const stream = await files.stream(part + name);
    if (!stream) continue;
    const where = files.where + part + name;
    const file = await streamSafetensors(stream, where, (bytes) => digest.update(bytes));
    const stored = new Map(file.entries.map((entry) => [entry.name, entry]));
    try {
      const entries = matchShapes(shapes, stored, where, architecture.currentName);
      const current = new Map([...entries].map(([name, entry]) => [entry.name, name]));
      return {
        isHalf: (name) => entries.get(name)?.dtype === "F16",
        async *tensors() {
          for await (const [name, data] of file.tensors()) {
            if (!allFinite(data)) requireFinite([name], where);
            const today = current.get(name);
            if (today !== undefined) yield [today, data];
          }
        },
      };
    } catch (error) {
      await file.cancel();
      throw error;
    }
  }
  throw new InputError(`${files.where}${part}: expected ${names.join(" or ")}, found neither`);
}
