/** What an ONNX file is, without running it. */
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import { classNames, type WeightsCard } from "../../weights/read/card.ts";
import type { OnnxContents, OnnxFile } from "../../weights/read/onnx/file.ts";
import type { Port } from "../../weights/read/onnx/ports.ts";

export interface OnnxReport extends OnnxContents {
  readonly source: string;
  readonly hash: string;
  /** [C, H, W]. */
  readonly picture: readonly number[];
  readonly classes: readonly string[] | null;
  readonly null_label: number | null;
  /** How the weights' makers say they are sampled. */
  readonly recommended: WeightsCard["recommended"] | null;
  readonly inputs: readonly Port[];
  readonly output: Port;
  /** null where neither the file nor one beside it says: diffusers' defaults are taken. */
  readonly scheduler: SchedulerConfig | null;
}

/** Describes a file that {@link readOnnx} has read. */
export function inspectOnnx(file: OnnxFile): OnnxReport {
  const { where, hash, shape, ports, classes, card, scheduler, contents } = file;
  const { sample, timestep, classLabels, output } = ports;
  return {
    source: where,
    hash,
    picture: shape,
    classes: classNames(card, classes) ?? null,
    null_label: card.null_label ?? null,
    recommended: card.recommended ?? null,
    inputs: classLabels ? [sample, timestep, classLabels] : [sample, timestep],
    output,
    ...contents,
    scheduler: scheduler ?? null,
  };
}
