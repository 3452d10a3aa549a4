/** README.md of trained weights: what they are, what they come from, how to use them. */
import type { Architecture } from "../../networks/architecture.ts";
import type { Distilled, WeightsCard } from "../../weights/read/card.ts";
import type { PictureSource } from "../data/data_set.ts";
import { countOf, group } from "./describe.ts";
import { type LogLine, recentLoss, secondsOf } from "./log.ts";
import type { TrainingRecipe } from "../recipe.ts";
import { PIPELINE_FOLDER, schedulerClass } from "../network.ts";
import { GUIDANCE } from "./start.ts";

/** Of more classes than these, a card names the first half of these. */
const MOST_CLASSES = 24;

/** What a run knows about itself when it ends. */
export interface TrainingFacts {
  readonly recipe: TrainingRecipe;
  readonly architecture: Pick<Architecture, "className" | "folder">;
  readonly card: WeightsCard;
  readonly data: Pick<PictureSource, "length" | "shape" | "skipped" | "license">;
  readonly parameters: number;
  /** Updates that were carried out. */
  readonly step: number;
  readonly lines: readonly LogLine[];
  /** The weights it began with. */
  readonly init?: string;
}

/** The model card, in the form that model hubs read. */
export function modelCard(facts: TrainingFacts): string {
  const { recipe, card, data, lines } = facts;
  const [channels, height, width] = data.shape;
  const classes = card.labels;
  // Guided are only weights that know a class for none.
  const guidance = card.null_label === undefined || card.distilled
    ? ""
    : ` --guidance ${card.recommended?.guidance ?? GUIDANCE}`;
  const colours = channels === 1 ? "grey" : "RGB";
  const images = facts.step * recipe.batch * recipe.accumulate;
  const leftOut = data.skipped.length;
  const skipped = leftOut === 0 ? "" : `, ${leftOut} files that could not be read left out`;
  const rows = [
    ["Pictures", `${width}×${height}, ${colours}`],
    ["Parameters", group(facts.parameters)],
    ["Classes", classes ? classesIn(classes) : "none"],
    ...(card.null_label === undefined ? [] : [["Label for “no class”", String(card.null_label)]]),
    ...(card.distilled ? distilledRows(card.distilled) : []),
    ...(facts.init === undefined ? [] : [["Trained on from", facts.init]]),
    ["Data", `${recipe.data} (${countOf(data)}${skipped})`],
    ["Licence of the data", recipe.data_license ?? data.license ?? "not stated"],
    ["Predicts", recipe.prediction_type],
    ["Noise schedule", `${recipe.beta_schedule}, T = ${recipe.num_train_timesteps}`],
    ["Updates", `${group(facts.step)} of ${recipe.batch * recipe.accumulate} pictures`],
    ["Pictures seen", group(images)],
    ["Loss at the end", recentLoss(lines).toPrecision(4)],
    ["Seed", String(recipe.seed)],
    ["Time", `${(secondsOf(lines) / 3600).toFixed(2)} h`],
  ];
  return [
    "---",
    `license: ${(recipe.data_license ?? data.license ?? null) === null ? "unknown" : "other"}`,
    "library_name: diffusers",
    `tags: [ddpm, ${classes ? "class-conditional" : "unconditional"}-image-generation]`,
    "---",
    "",
    `# A DDPM of ${width}×${height} pictures`,
    "",
    "The weights are the running mean (EMA) of the training run's. `recipe.json` is all it takes to train them again, `log.jsonl` is the loss along the way.",
    "",
    "| | |",
    "|---|---|",
    ...rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "\\|")} |`),
    "",
    "## Sampling",
    "",
    "```sh",
    `denoise sample --weights FOLDER${classes ? ` --label ${quote(classes[0])}` : ""}${guidance}`,
    "```",
    "",
    ...diffusersUse(facts),
    "",
  ].join("\n");
}

function distilledRows({ teacher, guidance, guided, steps }: Distilled) {
  const when = guided ? `, at t = ${guided[0]} … ${guided[1]}` : "";
  return [
    ["Distilled from", teacher],
    ["Guidance folded in", guidance === 1 ? "none" : `${guidance}${when}`],
    ["Network evaluations a picture", steps === undefined ? "any number" : String(steps)],
  ];
}

/** All of a few; of many the first ones, since model_index.json has every name. */
function classesIn(classes: readonly string[]): string {
  if (classes.length <= MOST_CLASSES) return classes.join(", ");
  return `${group(classes.length)}: ${
    classes.slice(0, MOST_CLASSES / 2).join(", ")
  } … (all in \`model_index.json\`)`;
}

/** In diffusers: its pipeline, or where none fits a loop of one's own. */
function diffusersUse({ card, architecture }: TrainingFacts): string[] {
  const { className, folder } = architecture;
  const { labels, null_label, distilled, recommended } = card;
  const pipeline = distilled ? "DDIMPipeline" : "DDPMPipeline";
  if (!labels && folder === PIPELINE_FOLDER) {
    const steps = distilled ? `num_inference_steps=${recommended?.steps}` : "";
    return [`In diffusers: \`${pipeline}.from_pretrained(FOLDER)(${steps}).images\`.`];
  }
  const none = null_label === undefined ? "" : `, and ${null_label} for “no class”`;
  return [
    labels
      ? `In diffusers no pipeline gives labels to such a network (\`${pipeline}\` has no labels and cannot run it): a loop of one's own does, the class's index${none}:`
      : "In diffusers no pipeline runs such a network: a loop of one's own does:",
    "",
    "```python",
    `${folder} = ${className}.from_pretrained(FOLDER, subfolder="${folder}")`,
    `scheduler = ${schedulerClass(card)}.from_pretrained(FOLDER, subfolder="scheduler")`,
    ...(distilled ? [`scheduler.set_timesteps(${recommended?.steps})`] : []),
    "for t in scheduler.timesteps:",
    `    output = ${folder}(x, t${labels ? ", class_labels=labels" : ""}).sample`,
    "    x = scheduler.step(output, t, x).prev_sample",
    "```",
  ];
}

function quote(label: string): string {
  return /^[\w.-]+$/.test(label) ? label : JSON.stringify(label);
}
