/** Fine-tuning: the start of a run from trained weights. */
import { InputError } from "../../errors.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import { architectures } from "../../networks/registry.ts";
import { matchTensors } from "../../networks/match_tensors.ts";
import type { PictureSource } from "../data/data_set.ts";
import { initialState, packParams } from "../optimiser/layout.ts";
import { keysOf } from "../network.ts";
import { sizeOf, trainingFields, type TrainingRecipe } from "../recipe.ts";
import { recommendedFor, type Start, withoutLabels } from "./start.ts";
import { networkLayout } from "../objective/step.ts";

/**
 * The recipe with the network's own architecture and schedule, which fine-tuning keeps. A key at its
 * default asks for nothing.
 * @throws InputError where the recipe asks for another network, or this one cannot be trained
 */
export function adoptNetwork(recipe: TrainingRecipe, weights: WeightsFolder): TrainingRecipe {
  const { network, scheduler, where } = weights;
  const [channels] = network.shape;
  if (channels !== 1 && channels !== 3) {
    throw new InputError(
      `${where}: expected a network of 1 channel (grey) or 3 (RGB), found ${channels}`,
    );
  }
  if (network.outChannels !== channels) {
    throw new InputError(
      `${where}: expected out_channels ${channels}, found ${network.outChannels}: the network also predicts variances, which are not trained here`,
    );
  }
  const own: Partial<TrainingRecipe> = { ...keysOf(network, scheduler), channels };
  const asked = architectures.find(({ className }) => className === recipe.architecture)!;
  const foreign = Object.keys(asked.training.fields).filter((key) => !Object.hasOwn(own, key));
  const text = (key: string, value: unknown) =>
    JSON.stringify(key === "size" ? sizeOf({ size: value as TrainingRecipe["size"] }) : value);
  for (const key of [...Object.keys(own), ...foreign]) {
    const [wanted, found] = [text(key, recipe[key]), text(key, own[key])];
    const isLeftOut = wanted === undefined || wanted === text(key, trainingFields[key].missing);
    if (wanted === found || isLeftOut) continue;
    throw new InputError(
      `recipe: ${key}: expected ${
        found ?? "no such key"
      } as ${where} has it, found ${wanted}; weights keep their network, leave the key out`,
    );
  }
  const kept = Object.entries(recipe).filter(([key]) => !foreign.includes(key));
  return { ...Object.fromEntries(kept) as TrainingRecipe, ...own };
}

/**
 * Someone's network, to be trained further. Its architecture and its schedule stay as they are.
 * @param data of the network's size and channels
 * @throws InputError where the data's classes are not the network's
 */
export function startFrom(
  weights: WeightsFolder,
  recipe: TrainingRecipe,
  data: PictureSource,
): Start {
  const { network, scheduler, where } = weights;
  const layout = networkLayout(network);
  const shapes = new Map(layout.params.map(({ name, shape }) => [name, shape]));
  const theta = packParams(
    layout,
    matchTensors(
      shapes,
      weights.tensors,
      where,
      network.architecture.currentName,
    ),
  );
  return {
    network,
    scheduler,
    layout,
    state: initialState(theta),
    card: { recommended: recommendedFor(recipe), ...weights.card },
    data: network.classes === null
      ? withoutLabels(data)
      : labelsFor(weights, network.classes, recipe, data),
  };
}

/** The data's classes as the network numbers them: by name where both have names. */
function labelsFor(
  { card, where }: WeightsFolder,
  rows: number,
  recipe: TrainingRecipe,
  data: PictureSource,
): PictureSource {
  if (!recipe.labels || !data.labels) {
    if (card.null_label === undefined) {
      throw new InputError(
        `${where}: expected pictures in subfolders with the names of its ${rows} classes, found none; the network does not say which class means "none"`,
      );
    }
    const none = card.null_label;
    return { ...data, labels: { at: () => none } };
  }
  const known = card.labels ?? Array.from({ length: rows }, (_, i) => String(i));
  const indices = data.labelNames!.map((name) => {
    const index = known.indexOf(name);
    if (index >= 0) return index;
    throw new InputError(
      `${where}: expected classes of the network (${
        known.join(", ")
      }), found "${name}" in the data; rename the subfolders to these${
        card.null_label === undefined ? "" : ", or train without any (labels false)"
      }`,
    );
  });
  const { labels } = data;
  return { ...data, labels: { at: (i) => indices[labels.at(i)!] }, labelNames: known };
}
