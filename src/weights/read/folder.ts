/** diffusers' folder: configs and weights, in today's layout or with everything at the root. */
import { parseSchedulerConfig } from "../../diffusion/mod.ts";
import type { SchedulerConfig } from "../../diffusion/types.ts";
import { InputError } from "../../errors.ts";
import type { NetworkDefinition } from "../../networks/architecture.ts";
import type { StoredTensor } from "../../networks/match_tensors.ts";
import { networkFolders, parseNetwork } from "../../networks/registry.ts";
import { parseCard, type WeightsCard } from "./card.ts";
import { type Files, readJson, readText } from "../files.ts";
import { sha256Hex } from "../../files/hash.ts";
import { parseSafetensors } from "../../files/safetensors.ts";

/** Everything a folder says, checked one file at a time; the tensors' shapes are not yet. */
export interface WeightsFolder {
  /** The folder, as messages name it. */
  readonly where: string;
  /** The network that its config.json describes. */
  readonly network: NetworkDefinition;
  /** scheduler/scheduler_config.json. */
  readonly scheduler: SchedulerConfig;
  /** What denoise adds to model_index.json. */
  readonly card: WeightsCard;
  /** The tensors under their names in the file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** SHA-256 over both configs, the card and the weights: what a picture depends on. */
  readonly hash: string;
}

const weightFiles = [
  "diffusion_pytorch_model.safetensors",
  "diffusion_pytorch_model.fp16.safetensors",
  "model.safetensors",
];
const pickles = ["diffusion_pytorch_model.bin", "diffusion_model.pt", "pytorch_model.bin"];

/**
 * Reads a diffusers folder.
 * @throws InputError naming the file, and in it the key or tensor, that does not fit.
 */
export async function readFolder(files: Files): Promise<WeightsFolder> {
  if (files.onnx !== undefined) {
    throw new InputError(
      `${files.where}${files.onnx}: expected a network's config and tensors, found an ONNX graph; give the folder or file that it was made from`,
    );
  }
  const layouts = [
    ...networkFolders.map((folder) => ({ network: `${folder}/`, scheduler: "scheduler/" })),
    { network: "", scheduler: "" },
  ];
  for (const layout of layouts) {
    const configPath = `${layout.network}config.json`;
    const [configJson, weights] = await Promise.all([
      readJson(files, configPath),
      readWeights(files, layout.network),
    ]);
    if (configJson === undefined) continue;
    if (!weights) await refuseMissingWeights(files, layout.network);

    const schedulerPath = `${layout.scheduler}scheduler_config.json`;
    // As text: diffusers writes -Infinity there, which is no JSON.
    const [schedulerText, modelIndex] = await Promise.all([
      readText(files, schedulerPath),
      readJson(files, "model_index.json"),
    ]);
    if (schedulerText === undefined) {
      throw new InputError(`${files.where}: expected ${schedulerPath}, found none`);
    }
    refuseLatents(modelIndex, `${files.where}model_index.json`);
    const network = parseNetwork(configJson, files.where + configPath);
    const where = files.where + layout.network + weights!.name;
    const hash = await sha256Hex(new TextEncoder().encode(JSON.stringify([
      configJson,
      schedulerText,
      (modelIndex as Record<string, unknown>)?._denoise ?? null,
      await sha256Hex(weights!.bytes),
    ])));
    return {
      where: files.where,
      network,
      scheduler: parseSchedulerConfig(schedulerText, files.where + schedulerPath),
      card: parseCard(modelIndex, network.classes, `${files.where}model_index.json`),
      tensors: parseSafetensors(weights!.bytes, where).tensors,
      hash,
    };
  }
  throw new InputError(
    `${files.where}: expected a diffusers folder (${
      layouts.map(({ network }) => `${network}config.json`).join(" or ")
    }), found ${layouts.length === 2 ? "neither" : "none"}`,
  );
}

/** Names of pipeline parts, and of their classes, that turn latents into pictures. */
const decoderParts = ["vae", "vqvae", "movq"];
const decoderClasses = /^(VQModel|Autoencoder|AsymmetricAutoencoder|ConsistencyDecoder)/;

/** A latent network's output would be drawn as if it were pixels. */
function refuseLatents(modelIndex: unknown, where: string): void {
  for (const [part, value] of Object.entries(modelIndex ?? {})) {
    const className = Array.isArray(value) ? value[1] : undefined;
    if (typeof className !== "string") continue;
    if (decoderParts.includes(part) || decoderClasses.test(className)) {
      throw new InputError(
        `${where}: ${part} is ${className}: the network makes latents, which that would turn into pictures, and which is not read; networks of pixels are`,
      );
    }
  }
}

async function readWeights(files: Files, prefix: string) {
  for (const name of weightFiles) {
    const bytes = await files.read(prefix + name);
    if (bytes) return { name, bytes };
  }
}

async function refuseMissingWeights(files: Files, prefix: string): Promise<never> {
  for (const name of pickles) {
    if (await files.read(prefix + name)) {
      throw new InputError(
        `${files.where}${prefix}${name}: a pickle can run code and is not read; save the model with safe_serialization=True to get ${
          weightFiles[0]
        }`,
      );
    }
  }
  throw new InputError(`${files.where}: expected ${prefix}${weightFiles[0]}, found none`);
}
