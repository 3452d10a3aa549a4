/** The start of a new run: network, schedule, initial state and labels. */
import type { SchedulerConfig } from "../../diffusion/scheduler.ts";
import type { WeightsCard } from "../../weights/read/card.ts";
import type { NetworkDefinition } from "../../networks/architecture.ts";
import type { PictureSource } from "../data/data_set.ts";
import { InputError } from "../../errors.ts";
import { initialTheta } from "../optimiser/init.ts";
import { initialState, type ParamLayout, type TrainState } from "../optimiser/layout.ts";
import { type LabelParts, labelParts, wholeTable } from "../objective/label_parts.ts";
import { networkFor, schedulerOf } from "../network.ts";
import type { TrainingRecipe } from "../recipe.ts";
import { networkLayout } from "../objective/step.ts";

export interface Start {
  readonly network: NetworkDefinition;
  readonly scheduler: SchedulerConfig;
  readonly layout: ParamLayout;
  readonly state: TrainState;
  /** What is recorded with the weights. */
  readonly card: WeightsCard;
  /** Labels made of others, where the recipe says so. */
  readonly parts?: LabelParts;
  /** The data as the network takes it: without labels if it is to have none. */
  readonly data: PictureSource;
}

/**
 * What `sample` does with weights that were trained here, until something better is known of them.
 * Guidance pushes estimates out of the pixels' range; DDIM would go on with the ε of what was clipped
 * away, which leaves strokes of other classes in the picture. DPM-Solver++ sees the clipped one alone.
 */
export function recommendedFor(
  { num_train_timesteps }: Pick<TrainingRecipe, "num_train_timesteps">,
) {
  return { scheduler: "dpmpp", steps: mostSteps(20, num_train_timesteps) };
}

/** The guidance that is recommended with classes. */
export const GUIDANCE = 2;

/** Solvers that jump from their last step to the end have room for one step less than T. */
export function mostSteps(steps: number, T: number): number {
  return Math.min(steps, T - 1);
}

/** A network from nothing. A single class tells it nothing, and is left out. */
export function startFresh(recipe: TrainingRecipe, data: PictureSource): Start {
  const labelled = recipe.labels && data.labels !== undefined && data.labelNames!.length > 1;
  const classes = labelled ? data.labelNames!.length : undefined;
  const network = networkFor(recipe, classes);
  const layout = networkLayout(network);
  return {
    network,
    scheduler: schedulerOf(recipe),
    layout,
    state: initialState(initialTheta(layout, recipe.seed, network.architecture.initialiser)),
    card: labelled
      ? labelledCard(recipe, data.labelNames!)
      : { recommended: recommendedFor(recipe) },
    data: labelled ? data : withoutLabels(data),
  };
}

/**
 * The labels of a network as made of others, where the recipe asks for it.
 * @throws InputError where no label has labels for its parts
 */
export function partsOf(
  { network: { classes }, card: { labels, null_label } }: Pick<Start, "network" | "card">,
  { label_parts }: Pick<TrainingRecipe, "label_parts">,
): LabelParts | undefined {
  if (!label_parts) return undefined;
  const parts = labels && classes !== null && labelParts(labels, classes, null_label);
  // The identity: every label is itself.
  if (parts && !parts.shares.every((share, at) => share === (at % (classes + 1) === 0 ? 1 : 0))) {
    return parts;
  }
  throw new InputError(
    `recipe: label_parts: expected labels whose parts are labels too, as orc-wizard beside orc and wizard, found ${
      labels ? labels.slice(0, 5).join(", ") : "none"
    }`,
  );
}

/** Parameters as a network reads them: every label with a row of its own. */
export function wholeTheta({ network, layout, parts }: Start, theta: Float32Array): Float32Array {
  const { classTable } = network.architecture;
  const place = layout.params.find(({ name }) => name === classTable);
  if (!parts || !place) return theta;
  const { offset, size } = place;
  const whole = theta.slice();
  whole.set(wholeTable(parts, theta.subarray(offset, offset + size)), offset);
  return whole;
}

/** The last row of the embedding means "no class", but only where labels were left out in training. */
function labelledCard(recipe: TrainingRecipe, labels: readonly string[]): WeightsCard {
  const recommended = recommendedFor(recipe);
  return recipe.label_dropout > 0
    ? { labels, null_label: labels.length, recommended: { ...recommended, guidance: GUIDANCE } }
    : { labels, recommended };
}

/** The pictures alone. */
export function withoutLabels(data: PictureSource): PictureSource {
  return { ...data, labels: undefined, labelNames: undefined };
}
