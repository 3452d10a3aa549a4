/** The training loop: batches in, checkpoints, log and sample grids out. */
import type { Backend, SessionOptions } from "../../backends/backend.ts";
import { scheduleFor } from "../../diffusion/mod.ts";
import { batchOf, type BatchOptions, type TrainBatch } from "../objective/batch.ts";
import type { Checkpoints } from "./checkpoint.ts";
import { emaDecay, learningRate } from "../optimiser/update_rule.ts";
import type { Log } from "./log.ts";
import type { TrainingRecipe } from "../recipe.ts";
import type { Start } from "./start.ts";
import type { TrainState } from "../optimiser/layout.ts";
import { TrainStep } from "../objective/step.ts";
import type { Network } from "../../model/network.ts";
import { NetworkInTraining } from "./in_training.ts";
import { yieldToEventLoop } from "../event_loop.ts";

/** How far a run is. */
export interface Progress {
  /** Updates done. */
  readonly step: number;
  /** Updates in all. */
  readonly steps: number;
  /** Mean over the last updates. */
  readonly loss: number;
  /** Wall-clock time of an update. */
  readonly msPerStep: number;
  /** Until the last update. */
  readonly secondsLeft: number;
}

/**
 * Turns a batch of real pictures with noise into what the network is to answer.
 * @param network the one that learns, as it is before the update
 */
export type Lesson = (batch: TrainBatch, network: Network) => Promise<TrainBatch>;

export interface LoopOptions {
  readonly recipe: TrainingRecipe;
  readonly start: Start;
  /** Updates that were carried out before. */
  readonly done: number;
  readonly state: TrainState;
  readonly backend: Backend;
  readonly session?: SessionOptions;
  readonly checkpoints: Checkpoints;
  readonly log: Log;
  /** What the network learns from a batch of pictures; left out, the pictures. */
  readonly lesson?: Lesson;
  /** Stops after the update under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Called every `sample_every` updates and at the end with the running mean of the weights. */
  readonly onSample?: (ema: Float32Array, step: number) => Promise<void>;
}

export interface LoopResult {
  readonly step: number;
  readonly state: TrainState;
  /** False where the signal stopped it. */
  readonly finished: boolean;
}

/** Over how many updates progress is averaged. */
const WINDOW = 50;

/** Trains until the recipe's last update, the signal or a failure. Ends with a checkpoint each way. */
export async function trainLoop(options: LoopOptions): Promise<LoopResult> {
  const { recipe, start: { network, scheduler, data }, backend, checkpoints, log, signal } =
    options;
  const { lesson = (batch: TrainBatch) => Promise.resolve(batch), session } = options;
  const images = recipe.batch * recipe.accumulate;
  const batchOptions = batchOptionsOf(recipe, options.start);
  await using trainer = await TrainStep.create(backend, {
    network,
    schedule: scheduleFor(scheduler),
    prediction: scheduler.prediction_type,
    batch: recipe.batch,
    accumulate: recipe.accumulate,
    minSnrGamma: recipe.min_snr_gamma ?? undefined,
    maxGradNorm: recipe.max_grad_norm ?? undefined,
    adam: { weightDecay: recipe.weight_decay },
    dropout: recipe.dropout,
    labelParts: options.start.parts,
    session,
  }, options.state);
  const theta = () => trainer.state.theta;
  await using learner = new NetworkInTraining(options.start, theta, backend, session);

  let saved = options.done, sampled = -1;
  const save = async (step: number) => {
    if (saved === step && step > 0) return;
    await checkpoints.save({ step, state: trainer.state });
    saved = step;
  };
  const recent: { loss: number; ms: number }[] = [];
  let step = options.done;
  try {
    while (step < recipe.steps && !signal?.aborted) {
      const began = performance.now();
      const k = step + 1;
      const lr = learningRate(k, { ...recipe, horizon: recipe.horizon ?? recipe.steps });
      const batch = batchOf(data, k, batchOptions);
      const result = await trainer.run(await lesson(batch, learner), {
        step: k,
        lr,
        emaDecay: emaDecay(images, step * images, recipe.ema_half_life),
        seed: recipe.seed,
      });
      step = k;
      const ms = performance.now() - began;
      await log.append({
        step,
        loss: result.loss,
        grad_norm: result.gradNorm,
        lr,
        ms: Math.round(ms),
      });
      recent.push({ loss: result.loss, ms });
      if (recent.length > WINDOW) recent.shift();
      options.onProgress?.(progressOf(step, recipe.steps, recent));

      if (step % recipe.checkpoint_every === 0) await save(step);
      if (recipe.sample_every > 0 && step % recipe.sample_every === 0) {
        await options.onSample?.(trainer.state.ema, step);
        sampled = step;
      }
      await yieldToEventLoop();
    }
  } catch (error) {
    // The updates since the last checkpoint may be an hour's work; the state is that after the last one.
    if (step > saved) await save(step).catch(() => {});
    throw error;
  }
  await save(step);
  const finished = step >= recipe.steps;
  if (finished && recipe.sample_every > 0 && sampled !== step) {
    await options.onSample?.(trainer.state.ema, step);
  }
  return { step, state: trainer.state, finished };
}

function batchOptionsOf(recipe: TrainingRecipe, { scheduler, card }: Start): BatchOptions {
  return {
    seed: recipe.seed,
    images: recipe.batch * recipe.accumulate,
    T: scheduler.num_train_timesteps,
    flip: recipe.flip,
    labelDropout: recipe.label_dropout,
    nullLabel: card.null_label,
  };
}

function progressOf(
  step: number,
  steps: number,
  recent: readonly { loss: number; ms: number }[],
): Progress {
  const mean = (of: "loss" | "ms") => recent.reduce((sum, r) => sum + r[of], 0) / recent.length;
  const msPerStep = mean("ms");
  return {
    step,
    steps,
    loss: mean("loss"),
    msPerStep,
    secondsLeft: (steps - step) * msPerStep / 1000,
  };
}
