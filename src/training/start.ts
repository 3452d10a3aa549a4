/** What a run begins with: the network, its schedule, its first state, and what labels mean. */
import type { SchedulerConfig } from "../diffusion/types.ts";
import { InputError } from "../errors.ts";
import type { WeightsCard } from "../model/card.ts";
import type { WeightsFolder } from "../model/folder.ts";
import { matchTensors, type UNetConfig } from "../unet/mod.ts";
import type { DataSet } from "./data/data_set.ts";
import { initialTheta } from "./init.ts";
import { packParams, type ParamLayout } from "./layout.ts";
import { schedulerOf, unetOf } from "./network.ts";
import { type Recipe, sizeOf } from "./recipe.ts";
import { initialState, type TrainState } from "./state.ts";
import { unetLayout } from "./step.ts";

export interface Start {
  readonly config: UNetConfig;
  readonly scheduler: SchedulerConfig;
  readonly layout: ParamLayout;
  readonly state: TrainState;
  /** What is recorded with the weights. */
  readonly card: WeightsCard;
  /** The data as the network takes it: without labels if it is to have none. */
  readonly data: DataSet;
}

/**
 * What `sample` does with weights that were trained here, until something better is known of them.
 * Guidance pushes estimates out of the pixels' range; DDIM would go on with the ε of what was clipped
 * away, which leaves strokes of other classes in the picture. DPM-Solver++ sees the clipped one alone.
 */
const RECOMMENDED = { scheduler: "dpmpp", steps: 20 };
const GUIDANCE = 2;

/** A network from nothing. */
export function startFresh(recipe: Recipe, data: DataSet): Start {
  const labelled = recipe.labels && data.labels !== undefined;
  const classes = labelled ? data.labelNames!.length : undefined;
  const config = unetOf(recipe, classes);
  const layout = unetLayout(config);
  return {
    config,
    scheduler: schedulerOf(recipe),
    layout,
    state: initialState(initialTheta(layout, recipe.seed)),
    card: labelled ? labelledCard(recipe, data.labelNames!) : { recommended: RECOMMENDED },
    data: labelled ? data : withoutLabels(data),
  };
}

/** The last row of the embedding means "no class", but only where labels were left out in training. */
function labelledCard({ label_dropout }: Recipe, labels: readonly string[]): WeightsCard {
  return label_dropout > 0
    ? { labels, null_label: labels.length, recommended: { ...RECOMMENDED, guidance: GUIDANCE } }
    : { labels, recommended: RECOMMENDED };
}

/**
 * Someone's network, to be trained further. Its architecture and its schedule stay as they are.
 * @throws InputError where the data does not fit it
 */
export function startFrom(weights: WeightsFolder, recipe: Recipe, data: DataSet): Start {
  const { config, scheduler, where } = weights;
  const [height, width] = sizeOf(recipe);
  const wanted = [config.in_channels, ...config.sample_size];
  if (wanted.join() !== [recipe.channels, height, width].join()) {
    throw new InputError(
      `${where}: the network takes pictures [${wanted}], the recipe gives [${recipe.channels}, ${height}, ${width}]; set size and channels to the network's`,
    );
  }
  const layout = unetLayout(config);
  const shapes = new Map(layout.params.map(({ name, shape }) => [name, shape]));
  const theta = packParams(layout, matchTensors(shapes, weights.tensors, where));
  return {
    config,
    scheduler,
    layout,
    state: initialState(theta),
    card: { recommended: RECOMMENDED, ...weights.card },
    data: config.num_class_embeds === null
      ? withoutLabels(data)
      : labelsFor(weights, config.num_class_embeds, recipe, data),
  };
}

/** The data's classes as the network numbers them: by name where both have names. */
function labelsFor(
  { card, where }: WeightsFolder,
  rows: number,
  recipe: Recipe,
  data: DataSet,
): DataSet {
  if (!recipe.labels || !data.labels) {
    if (card.null_label === undefined) {
      throw new InputError(
        `${where}: the network has ${rows} classes and does not say which means "none"; the data needs labels`,
      );
    }
    return { ...data, labels: new Int32Array(data.length).fill(card.null_label) };
  }
  const known = card.labels ?? Array.from({ length: rows }, (_, i) => String(i));
  const indices = data.labelNames!.map((name) => {
    const index = known.indexOf(name);
    if (index >= 0) return index;
    throw new InputError(
      `${where}: the data has a class "${name}"; the network knows ${known.join(", ")}`,
    );
  });
  return { ...data, labels: data.labels.map((label) => indices[label]), labelNames: known };
}

function withoutLabels(data: DataSet): DataSet {
  return { ...data, labels: undefined, labelNames: undefined };
}
