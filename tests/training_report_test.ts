/** What a run says of itself: its notices, its log, the plot of its loss, its model card. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { describeRun, describeSkipped } from "../src/training/run/describe.ts";
import { type LogLine, recentLoss, secondsOf, thinLog } from "../src/training/run/log.ts";
import { modelCard, type TrainingFacts } from "../src/training/run/model_card.ts";
import { lossPlot } from "../src/training/run/plot.ts";
import { startFresh } from "../src/training/run/start.ts";
import type { WeightsCard } from "../src/weights/read/card.ts";
import { tinyRecipe } from "./training_pictures.ts";

const line = (step: number, loss = 1 / step, ms = 10): LogLine => ({
  step,
  loss,
  grad_norm: 1,
  lr: 1e-3,
  ms,
});
const lines = (count: number) => Array.from({ length: count }, (_, i) => line(i + 1));

/** Grey pictures of 8×8, as many in each class as there are classes. */
function pictures(classes: readonly string[], count: number) {
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes.length);
  return bytesDataSet(new Uint8Array(64 * count), [1, 8, 8], { labels, labelNames: classes });
}

Deno.test("twenty files that were left out are named, and how many more there are", () => {
  const skipped = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ name: `${i}`, reason: `${i}.png: cut` }));
  const said = (count: number) =>
    describeSkipped({ ...pictures(["a"], 1), skipped: skipped(count) });
  assertEquals(said(0), []);
  assertEquals(said(2), ["left out: 0.png: cut", "left out: 1.png: cut"]);
  assertEquals(said(20).at(-1), "left out: 19.png: cut");
  assertEquals(said(25).slice(-2), ["left out: 19.png: cut", "left out: 5 more"]);
});

Deno.test("the length of a run is told in updates, pictures an update, and times each picture", () => {
  const told = (keys: Record<string, unknown>, length: number) => {
    const recipe = parseTrainingRecipe(tinyRecipe, { data: "here", ...keys });
    const data = { ...pictures(["a", "b"], 2), length };
    const start = startFresh(recipe, data);
    const [, size, rest] = /^([\d,]+) parameters; (.*)$/.exec(
      describeRun(recipe, data, start).at(-1)!,
    )!;
    assertEquals(size, start.layout.size.toLocaleString("en-US"));
    return rest;
  };
  const run = { steps: 1000, batch: 4, accumulate: 2 };
  assertEquals(told(run, 3000), "1,000 updates of 8 pictures, each picture about 2.7 times");
  assertEquals(told(run, 100_000), "1,000 updates of 8 pictures, each picture about 0.080 times");
  assertEquals(told(run, 4), "1,000 updates of 8 pictures, each picture about 2,000 times");
  assertEquals(told(run, Infinity), "1,000 updates of 8 pictures, none of them twice");
});

Deno.test("a run says what it makes of the classes, and names twenty of them", () => {
  const told = (classes: readonly string[], keys: Record<string, unknown> = {}) => {
    const recipe = parseTrainingRecipe(tinyRecipe, { data: "here", ...keys });
    const data = pictures(classes, 2 * classes.length);
    return describeRun(recipe, data, startFresh(recipe, data)).slice(0, 2);
  };
  assertEquals(told(["a", "b"]), ["here: 4 pictures, brought to 8×8 grey", "2 classes: a, b"]);
  assertEquals(
    told(["a", "b"], { labels: false })[1],
    "classes not learned, as the recipe says: a, b",
  );
  assertEquals(told(["a"])[1], "one class, a: nothing to tell apart, trained without");
  const recipe = parseTrainingRecipe(tinyRecipe, { data: "here" });
  const unlabelled = startFresh(recipe, pictures(["a"], 1));
  assertEquals(
    describeRun(recipe, pictures(["a", "b"], 2), unlabelled)[1],
    "classes not learned, the network knows none: a, b",
  );
  const data = { ...pictures(["a"], 1), skipped: Array(1234).fill({ name: "x", reason: "y" }) };
  assertEquals(
    describeRun(recipe, data, unlabelled)[0],
    "here: 1 pictures, brought to 8×8 grey; 1,234 files left out",
  );
  const many = Array.from({ length: 21 }, (_, i) => `c${i}`);
  assertEquals(told(many)[1], `21 classes: ${many.slice(0, 20).join(", ")} …`);
  assertEquals(told(many.slice(0, 20))[1], `20 classes: ${many.slice(0, 20).join(", ")}`);
});

Deno.test("pictures that are not square are told by width and height", () => {
  const recipe = parseTrainingRecipe(tinyRecipe, { data: "here", size: [4, 16], channels: 3 });
  const data = bytesDataSet(new Uint8Array(2 * 192), [3, 4, 16]);
  assertEquals(describeRun(recipe, data, startFresh(recipe, data)).slice(0, 2), [
    "here: 2 pictures, brought to 16×4 RGB",
    "no classes (subfolders are, where every picture lies in one)",
  ]);
});

Deno.test("a long log is thinned evenly, and keeps its first and last line", () => {
  const stepsOf = (text: string) =>
    text.trimEnd().split("\n").map((text) => JSON.parse(text).step as number);
  assertEquals(thinLog([]), "");
  assertEquals(stepsOf(thinLog(lines(500))), Array.from({ length: 500 }, (_, i) => i + 1));
  const thin = stepsOf(thinLog(lines(1002)));
  // Every third line, and the last.
  assertEquals([thin.slice(0, 3), thin.slice(-2), thin.length], [[1, 4, 7], [1000, 1002], 335]);
});

Deno.test("the loss at the end is the mean of the last hundred updates; the time is that of all", () => {
  const rising = Array.from({ length: 150 }, (_, i) => line(i + 1, i + 1, 20));
  assertEquals(recentLoss(rising), (51 + 150) / 2);
  assertEquals(recentLoss(rising, 2), 149.5);
  assertEquals(recentLoss(rising.slice(0, 3)), 2);
  assertEquals(recentLoss([]), 0);
  assertAlmostEquals(secondsOf(rising), 3, 1e-9);
  const { ms: _, ...untimed } = line(1);
  assertEquals(secondsOf([untimed as LogLine, line(2, 1, 500)]), 0.5);
});

/** The points of a plot's curve, and the words below it. */
function readPlot(svg: string) {
  const points = /points="([^"]*)"/.exec(svg)![1].split(" ").filter((point) => point !== "");
  const steps = [...svg.matchAll(/y="338" text-anchor="middle">(\d+)</g)];
  return {
    points: points.map((point) => point.split(",").map(Number)),
    steps: steps.map(([, step]) => Number(step)),
  };
}

Deno.test("the loss plot runs from left to right, a low loss low, a power of ten as high as another", () => {
  const plot = (losses: readonly number[]) =>
    readPlot(lossPlot(losses.map((loss, i) => ({ step: i + 1, loss }))));
  const { points, steps } = plot([1, 0.1, 0.01, 0.001]);
  assertEquals(steps, [0, 1, 2, 3, 4]);
  // 640 units of width from 64, 292 of height from 28: the highest loss is on top.
  const expected = [[224, 28], [384, 125.3], [544, 222.7], [704, 320]];
  expected.forEach(([x, y], i) => {
    assertAlmostEquals(points[i][0], x, 0.06);
    assertAlmostEquals(points[i][1], y, 0.06);
  });
});

Deno.test("each point of a long run's plot is the mean of a stretch, at the stretch's end", () => {
  const svg = lossPlot(Array.from({ length: 1000 }, (_, i) => ({ step: i + 1, loss: 1 + i % 5 })));
  const { points, steps } = readPlot(svg);
  assertEquals(points.length, 200);
  assertEquals(steps, [0, 250, 500, 750, 1000]);
  assertEquals([points[0][0], points.at(-1)![0]], [64 + 640 / 200, 704]);
  assert(svg.includes("loss (mean of 5 updates)"));
  assertEquals(new Set(points.map(([, y]) => y)).size, 1, "every stretch has the mean 3");
});

Deno.test("a run of more than two hundred updates is averaged, its last stretch as short as it is", () => {
  for (
    const [count, each, points] of [[200, 1, 200], [201, 2, 101], [400, 2, 200], [401, 3, 134]]
  ) {
    const svg = lossPlot(lines(count));
    const plot = readPlot(svg);
    assertEquals([plot.points.length, plot.points.at(-1)![0]], [points, 704], `${count} updates`);
    assert(svg.includes(`loss (mean of ${each} updates)`), `${count} updates`);
  }
});

Deno.test("a plot's levels have as many digits as tell them apart, two to four", () => {
  const words = (...losses: number[]) =>
    [
      ...lossPlot(losses.map((loss, i) => ({ step: i + 1, loss })))
        .matchAll(/text-anchor="end">([^<]*)</g),
    ].map(([, word]) => word);
  assertEquals(words(1, 1.1), ["1.00", "1.02", "1.05", "1.07", "1.10"]);
  assertEquals(words(1, 1.01), ["1.000", "1.002", "1.005", "1.007", "1.010"]);
  assertEquals(words(0.5, 0.5), Array(5).fill("0.5000"));
});

Deno.test("the loss plot of two updates, to the letter", () => {
  const level = (y: string, word: string) =>
    `<path d="M64 ${y}.0H704" stroke="#ddd"/><text x="58" y="${
      Number(y) + 4
    }.0" text-anchor="end">${word}</text>`;
  const mark = (x: number, step: number) =>
    `<text x="${x}.0" y="338" text-anchor="middle">${step}</text>`;
  assertEquals(lossPlot([{ step: 1, loss: 1 }, { step: 2, loss: 0.01 }]).split("\n"), [
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360" font-family="sans-serif" font-size="12">',
    '<rect width="720" height="360" fill="white"/>',
    ...[level("320", "0.010"), level("247", "0.032"), level("174", "0.10")],
    ...[level("101", "0.32"), level("28", "1.0")],
    ...[mark(64, 0), mark(384, 1), mark(704, 2)],
    '<text x="360" y="354" text-anchor="middle">update</text>',
    '<text x="64" y="16">loss (mean of 1 updates)</text>',
    '<polyline fill="none" stroke="#1f5fa8" stroke-width="1.5" points="384.0,28.0 704.0,320.0"/>',
    "</svg>",
    "",
  ]);
});

Deno.test("a plot of no update, of a loss of 0, or of one loss alone has no number that is none", () => {
  for (const losses of [[], [0, 1], [0.5], [0.5, 0.5]]) {
    const svg = lossPlot(losses.map((loss, i) => ({ step: i + 1, loss })));
    assert(!/NaN|Infinity/.test(svg), svg);
  }
});

const recipe = parseTrainingRecipe(tinyRecipe, { data: "pictures|mine", batch: 4, accumulate: 2 });
const facts: TrainingFacts = {
  recipe,
  architecture: { className: "UNet2DModel", folder: "unet" },
  card: { labels: ["cat", "big dog"], null_label: 2 },
  data: { length: 1234, shape: [1, 8, 16], skipped: [] },
  parameters: 56_789,
  step: 1000,
  lines: [line(1, 0.25, 5_400_000)],
};
/** A card's rows by name. */
const rowsOf = (card: string) =>
  Object.fromEntries([...card.matchAll(/^\| ([^|]+) \| (.*) \|$/gm)].map(([, k, v]) => [k, v]));

Deno.test("a model card has the run's numbers", () => {
  const card = modelCard(facts);
  const rows = rowsOf(card);
  assertEquals(rows["Pictures"], "16×8, grey");
  assertEquals(rows["Parameters"], "56,789");
  assertEquals(rows["Classes"], "cat, big dog");
  assertEquals(rows["Label for “no class”"], "2");
  assertEquals(rows["Data"], "pictures\\|mine (1,234 pictures)", "a bar would end the cell");
  assertEquals(rows["Predicts"], "epsilon");
  assertEquals(rows["Noise schedule"], "linear, T = 20");
  assertEquals(rows["Updates"], "1,000 of 8 pictures");
  assertEquals(rows["Pictures seen"], "8,000");
  assertEquals(rows["Time"], "1.50 h");
  assertEquals("Trained on from" in rows, false);
  assert(card.includes("# A DDPM of 16×8 pictures"), card);
  assert(card.includes("tags: [ddpm, class-conditional-image-generation]"), card);
  assert(card.includes("denoise sample --weights FOLDER --label cat --guidance 2"), card);
});

Deno.test("the licence of a card is the recipe's, else the data's own, else not stated", () => {
  const licences = (own: string | null, data?: string) => {
    const card = modelCard({
      ...facts,
      recipe: { ...recipe, data_license: own },
      data: { ...facts.data, license: data },
    });
    return [rowsOf(card)["Licence of the data"], /^license: (.*)$/m.exec(card)![1]];
  };
  assertEquals(licences("CC0", "MIT"), ["CC0", "other"]);
  assertEquals(licences(null, "MIT"), ["MIT", "other"]);
  assertEquals(licences(null), ["not stated", "unknown"]);
});

Deno.test("a card names up to 24 classes; of more how many there are, and twelve", () => {
  const classes = (count: number) => {
    const labels = Array.from({ length: count }, (_, i) => `c${i}`);
    return rowsOf(modelCard({ ...facts, card: { labels } }))["Classes"];
  };
  assertEquals(classes(24).split(", ").length, 24);
  assertMatch(classes(25), /^25: c0, c1, .*, c11 … \(all in `model_index\.json`\)$/);
});

Deno.test("a card of few-step weights asks for no guidance, and says what they were taught", () => {
  const distilled = { teacher: "digits", guidance: 2, steps: 4 };
  const recommended = { scheduler: "ddim", steps: 4 };
  const card = modelCard({ ...facts, card: { labels: ["big dog"], distilled, recommended } });
  assert(card.includes('denoise sample --weights FOLDER --label "big dog"\n'), card);
  const rows = rowsOf(card);
  assertEquals(rows["Distilled from"], "digits");
  assertEquals(rows["Guidance folded in"], "2");
  assertEquals(rows["Network evaluations a picture"], "4");
  assert(card.includes("scheduler.set_timesteps(4)"), card);
  assert(card.includes("class_labels=labels"), card);
  const whole = rowsOf(modelCard({
    ...facts,
    card: { distilled: { teacher: "digits", guidance: 1 }, recommended },
  }));
  assertEquals(whole["Guidance folded in"], "none");
  assertEquals(whole["Network evaluations a picture"], "any number");
});

Deno.test("a model card to the letter, as hubs and people read it", () => {
  const card = modelCard({
    ...facts,
    init: "digits",
    data: { ...facts.data, skipped: [{ name: "a", reason: "b" }, { name: "c", reason: "d" }] },
  });
  assertEquals(
    card,
    `---
license: unknown
library_name: diffusers
tags: [ddpm, class-conditional-image-generation]
---

# A DDPM of 16×8 pictures

The weights are the running mean (EMA) of the training run's. \`recipe.json\` is all it takes to train them again, \`log.jsonl\` is the loss along the way.

| | |
|---|---|
| Pictures | 16×8, grey |
| Parameters | 56,789 |
| Classes | cat, big dog |
| Label for “no class” | 2 |
| Trained on from | digits |
| Data | pictures\\|mine (1,234 pictures, 2 files that could not be read left out) |
| Licence of the data | not stated |
| Predicts | epsilon |
| Noise schedule | linear, T = 20 |
| Updates | 1,000 of 8 pictures |
| Pictures seen | 8,000 |
| Loss at the end | 0.2500 |
| Seed | 0 |
| Time | 1.50 h |

## Sampling

\`\`\`sh
denoise sample --weights FOLDER --label cat --guidance 2
\`\`\`

In diffusers no pipeline gives labels to such a network (\`DDPMPipeline\` has no labels and cannot run it): a loop of one's own does, the class's index, and 2 for “no class”:

\`\`\`python
unet = UNet2DModel.from_pretrained(FOLDER, subfolder="unet")
scheduler = DDPMScheduler.from_pretrained(FOLDER, subfolder="scheduler")
for t in scheduler.timesteps:
    output = unet(x, t, class_labels=labels).sample
    x = scheduler.step(output, t, x).prev_sample
\`\`\`
`,
  );
});

Deno.test("a card asks for guidance where there is some, at the scale that is recommended", () => {
  const asked = (card: WeightsCard) =>
    /denoise sample --weights FOLDER(.*)\n/.exec(modelCard({ ...facts, card }))![1];
  const labels = ["cat"];
  const recommended = { scheduler: "ddim", steps: 5, guidance: 3.5 };
  assertEquals(asked({ labels, null_label: 0, recommended }), " --label cat --guidance 3.5");
  assertEquals(asked({ labels, null_label: 1 }), " --label cat --guidance 2");
  assertEquals(asked({ labels }), " --label cat", "weights that know no class for none");
  assertEquals(asked({}), "");
  const names = ["a-b", "a.b", "a_b", "7", "a b", 'a"b', "é", ""].map((name) =>
    asked({ labels: [name] }).replace(" --label ", "")
  );
  assertEquals(names, ["a-b", "a.b", "a_b", "7", '"a b"', '"a\\"b"', '"é"', '""']);
});

Deno.test("a card of few steps says when its teacher was guided, in a picture's own colours", () => {
  const distilled = { teacher: "digits", guidance: 2, guided: [100, 800], steps: 4 } as const;
  const recommended = { scheduler: "ddim", steps: 4 };
  const data = { ...facts.data, shape: [3, 8, 8] as const, length: Infinity };
  const card = modelCard({ ...facts, data, card: { distilled, recommended } });
  const rows = rowsOf(card);
  assertEquals(rows["Guidance folded in"], "2, at t = 100 … 800");
  assertEquals([rows["Pictures"], rows["Classes"]], ["8×8, RGB", "none"]);
  assertEquals(rows["Data"], "pictures\\|mine (pictures without end)");
  assertMatch(card, /^tags: \[ddpm, unconditional-image-generation\]$/m);
  const labelled = modelCard({ ...facts, card: { labels: ["a"], distilled, recommended } });
  const loop = /```python\n([^`]*)```/.exec(labelled)![1];
  assertEquals(loop.split("\n").slice(1, 3), [
    'scheduler = DDIMScheduler.from_pretrained(FOLDER, subfolder="scheduler")',
    "scheduler.set_timesteps(4)",
  ]);
  const architecture = { className: "DiT", folder: "transformer" };
  assertMatch(
    modelCard({ ...facts, card: {}, architecture }),
    /^In diffusers no pipeline runs such a network: a loop of one's own does:$/m,
  );
});
