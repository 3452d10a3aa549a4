/** README.md of trained weights: what they are, what they come from, how to use them. */
import type { Architecture } from "../../networks/architecture.ts";
import type { WeightsCard } from "../../weights/read/card.ts";
import type { PictureSource } from "../data/data_set.ts";
import { countOf, group } from "./describe.ts";
import { type LogLine, recentLoss, secondsOf } from "./log.ts";
import type { TrainingRecipe } from "../recipe.ts";

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
  const guidance = classes && !card.distilled ? " --guidance 2" : "";
  const colours = channels === 1 ? "grey" : "RGB";
  const images = facts.step * recipe.batch * recipe.accumulate;
  const leftOut = data.skipped.length;
  const skipped = leftOut === 0 ? "" : `, ${leftOut} files that could not be read left out`;
  const rows = [
    ["Pictures", `${width}×${height}, ${colours}`],
    ["Parameters", group(facts.parameters)],
    ["Classes", classes ? classes.join(", ") : "none"],
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
    ...(classes ? conditionalUse(facts) : unconditionalUse(card)),
    "",
  ].join("\n");
}

function distilledRows({ teacher, guidance, steps }: NonNullable<WeightsCard["distilled"]>) {
  return [
    ["Distilled from", teacher],
    ["Guidance folded in", guidance === 1 ? "none" : String(guidance)],
    ["Network evaluations a picture", steps === undefined ? "any number" : String(steps)],
  ];
}

function unconditionalUse({ distilled, recommended }: WeightsCard): string[] {
  return [
    distilled
      ? `In diffusers: \`DDIMPipeline.from_pretrained(FOLDER)(num_inference_steps=${recommended?.steps}).images\`.`
      : "In diffusers: `DDPMPipeline.from_pretrained(FOLDER)().images`.",
  ];
}

/** What someone who knows only the pipeline has to be told. */
function conditionalUse({ card, architecture }: TrainingFacts): string[] {
  if (card.distilled) return distilledUse(card, architecture);
  const { className, folder } = architecture;
  const { null_label } = card;
  const none = null_label === undefined ? "" : `, and ${null_label} for “no class”`;
  return [
    `In diffusers the network is \`${className}.from_pretrained(FOLDER, subfolder="${folder}")\`. \`DDPMPipeline\` has no labels and cannot run it: a loop of one's own gives them to the network, the class's index${none}:`,
    "",
    "```python",
    "for t in scheduler.timesteps:",
    `    eps = ${folder}(x, t, class_labels=labels).sample`,
    "    x = scheduler.step(eps, t, x).prev_sample",
    "```",
  ];
}

/** Few-step weights in diffusers: its DDIM places the timesteps as they were taught. */
function distilledUse(
  { recommended }: WeightsCard,
  { className, folder }: TrainingFacts["architecture"],
): string[] {
  return [
    "In diffusers the labels, the classes' indices, go to the network in a loop of one's own:",
    "",
    "```python",
    `${folder} = ${className}.from_pretrained(FOLDER, subfolder="${folder}")`,
    'scheduler = DDIMScheduler.from_pretrained(FOLDER, subfolder="scheduler")',
    `scheduler.set_timesteps(${recommended?.steps})`,
    "for t in scheduler.timesteps:",
    `    v = ${folder}(x, t, class_labels=labels).sample`,
    "    x = scheduler.step(v, t, x).prev_sample",
    "```",
  ];
}

function quote(label: string): string {
  return /^[\w.-]+$/.test(label) ? label : JSON.stringify(label);
}
