/** Trained weights as a diffusers folder, which `sample` and Python load alike. */
import { CARD_KEY, type WeightsCard } from "../../weights/read/card.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import { DIFFUSERS_VERSION, type NetworkDefinition } from "../../networks/architecture.ts";
import { networkFiles } from "../../weights/read/formats/format.ts";
import { writeDurably } from "../../files/atomic_write.ts";
import { type ParamLayout, unpackParams } from "../optimiser/layout.ts";
import { PIPELINE_FOLDER, schedulerClass, schedulerJson } from "../network.ts";

/** A network with its values: all that sampling needs. */
export interface Trained {
  readonly network: NetworkDefinition;
  readonly scheduler: SchedulerConfig;
  readonly layout: ParamLayout;
  readonly card: WeightsCard;
  /** The flat vector of the values, usually the state's `ema`. */
  readonly theta: Float32Array;
}

export interface ExportOptions extends Trained {
  /** Stores halves. */
  readonly fp16?: boolean;
  /** Text files that go beside the weights, by name: the model card, the recipe, the log. */
  readonly beside?: Readonly<Record<string, string>>;
}

/** The files of a diffusers folder by path. fp16 halves the size and costs some 3 digits. */
export function weightsFiles(
  { network, scheduler, layout, card, theta }: Trained,
  { fp16 = false }: { fp16?: boolean } = {},
): Map<string, Uint8Array> {
  const { className, folder } = network.architecture;
  const files = networkFiles(folder);
  const index = {
    ...pipelineClass(network, card),
    _diffusers_version: DIFFUSERS_VERSION,
    [CARD_KEY]: card,
    scheduler: ["diffusers", schedulerClass(card)],
    [folder]: ["diffusers", className],
  };
  const weights = writeSafetensors(unpackParams(layout, theta), {
    dtype: fp16 ? "F16" : "F32",
    // transformers and diffusers refuse files that do not name their framework.
    metadata: { format: "pt" },
  });
  return new Map([
    [files.config, json(network.json())],
    [files.weights, weights],
    ["scheduler/scheduler_config.json", json(schedulerJson(scheduler, schedulerClass(card)))],
    ["model_index.json", json(index)],
  ]);
}

/**
 * The pipeline that diffusers makes of the folder. Of a network elsewhere than in its pipelines' folder
 * it makes none, so none is named. Labels they do not know: with classes diffusers loads the parts by
 * the name, which without it would fail, and a call of the pipeline says what is missing.
 */
function pipelineClass({ architecture }: NetworkDefinition, { distilled }: WeightsCard) {
  if (architecture.folder !== PIPELINE_FOLDER) return {};
  return { _class_name: distilled ? "DDIMPipeline" : "DDPMPipeline" };
}

/**
 * Writes a diffusers folder and what goes beside the weights. Each file is whole or absent.
 * @param folder made where there is none; files of the same names are replaced
 */
export async function exportFolder(
  folder: string,
  { fp16, beside = {}, ...trained }: ExportOptions,
): Promise<void> {
  const root = folder.replace(/\/+$/, "");
  const files = weightsFiles(trained, { fp16 });
  for (const [name, text] of Object.entries(beside)) {
    files.set(name, new TextEncoder().encode(text));
  }
  for (const part of [trained.network.architecture.folder, "scheduler"]) {
    await Deno.mkdir(`${root}/${part}`, { recursive: true });
  }
  for (const [path, bytes] of files) await writeDurably(`${root}/${path}`, bytes);
}

/** JSON as a person reads it. */
function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}
