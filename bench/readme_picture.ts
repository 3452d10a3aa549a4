/** Draws the README's pictures: heroes, mixtures, students below their teachers, restorations, a digit. */
import { grid, paste } from "../src/image/grid.ts";
import { type Pixels, toPixels, withChannels } from "../src/image/pixels.ts";
import { encodePng } from "../src/image/png.ts";
import { enlarge } from "../src/image/resize.ts";
import { generate, load, sample } from "../mod.ts";
import heroes from "../weights/heroes/data/heroes.ts";
import { DRAWN } from "../src/training/data/open.ts";
import { drawPicture } from "../src/training/data/plugin.ts";
import { readWords } from "./flags.ts";
import { restorations } from "./readme_restored.ts";

const asked = readWords(
  "Draws the README's pictures by the shipped weights: docs/NAME.png.",
  ["heroes", "mixtures", "few", "restored", "digits"],
);

const write = (name: string, picture: Pixels, factor: number) =>
  Deno.writeFile(new URL(`../docs/${name}`, import.meta.url), encodePng(enlarge(picture, factor)));

/** Seeds from 0 on, as the weights recommend. */
async function drawn(weights: string, count: number): Promise<Pixels[]> {
  await using model = await load(weights, { backend: "native" });
  return await generate(model, { seeds: Array.from({ length: count }, (_, i) => i) });
}

/** What is mixed: two classes of one seed, two seeds with a class each. */
const MIXTURES = [
  { seed: 3, label: "wizard", mix: { label: "orc" } },
  { seed: 5, label: "orc-wizard", mix: { label: "elf-ranger" } },
  { seed: 3, label: undefined, mix: { seed: 13 } },
  { seed: 22, label: undefined, mix: { seed: 9 } },
];

/** The digits' columns, and the evaluations that each comes out of. */
const COLUMNS = 10, STEPS = 20;
/** Which of the drawn heroes is restored. */
const HERO = 2;

/** A picture in the middle of a black one of 32 × 32, in colour. */
function framed32(picture: Pixels): Pixels {
  const frame = { pixels: new Uint8Array(32 * 32 * 3), width: 32, height: 32, channels: 3 };
  const left = (32 - picture.width) / 2, top = (32 - picture.height) / 2;
  paste(frame, withChannels(picture, 3), left, top);
  return frame;
}

if (asked.has("heroes")) {
  await write("heroes.png", grid(await drawn("heroes-4", 64), { columns: 16 }), 3);
}

if (asked.has("mixtures")) {
  const shares = Array.from({ length: 9 }, (_, i) => i / 8);
  await using model = await load("heroes-4", { backend: "native" });
  const rows = [];
  for (const { seed, label, mix } of MIXTURES) {
    const all = shares.map((share) => ({ ...mix, share }));
    rows.push(...await generate(model, { seeds: all.map(() => seed), labels: label, mix: all }));
  }
  await write("mixtures.png", grid(rows, { columns: 9, gap: 2, background: 255 }), 3);
}

if (asked.has("few")) {
  const rows = [];
  for (const weights of ["heroes", "heroes-4", "heroes-1", "digits", "digits-1"]) {
    rows.push(...(await drawn(weights, 16)).map(framed32));
  }
  await write("few.png", grid(rows, { columns: 16, gap: 2, background: 255 }), 3);
}

if (asked.has("restored")) {
  await using model = await load("heroes", { backend: "native" });
  // As training draws them, of a seed that no training has.
  const { pixels, width, height, channels } = drawPicture(heroes, DRAWN.test.seed, HERO);
  await write("restored.png", await restorations(model, { pixels, width, height, channels }), 1);
}

if (asked.has("digits")) {
  await using model = await load("digits", { backend: "native" });
  const seeds = Array.from({ length: 2 * COLUMNS }, (_, i) => i);
  const made: Pixels[] = await generate(model, { seeds, steps: STEPS });

  const way: Pixels[] = [];
  for await (const { step, x } of sample(model, { seeds: [5], steps: STEPS })) {
    if (step % (STEPS / COLUMNS) === 0) way.push(toPixels(x, model.shape));
  }

  const all = grid([...made, ...way], { columns: COLUMNS, gap: 1 });
  const framed = {
    ...all,
    width: all.width + 2,
    height: all.height + 2,
    pixels: new Uint8Array(0),
  };
  framed.pixels = new Uint8Array(framed.width * framed.height);
  paste(framed, all, 1, 1);
  await write("digits.png", framed, 3);
}
