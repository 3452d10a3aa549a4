/** `compare` and `interpolate`: what they ask the network for, what they say, and what is refused before they draw. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { generate, load, sample } from "../mod.ts";
import { grid } from "../src/image/grid.ts";
import { captionScale, labelledGrid } from "../src/image/labelled_grid.ts";
import { fromPixels, type Pixels, toPixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { enlarge } from "../src/image/resize.ts";
import { createGenerator } from "../src/diffusion/mod.ts";
import { invert, slerp } from "../src/sampling/interpolate.ts";
import { schedulers } from "../schedulers/mod.ts";
import { readApng } from "./apng.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { emptyWeights, tinyWeights } from "./tiny_weights.ts";

const engine = ["--backend", "native", "--threads", "1"];

/** Weights that can be guided, as their last class is none. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
  const weights = await tinyWeights(at("w"), { card: { labels, null_label: 10 } });
  return { folder, at, weights, common: ["-w", weights, ...engine] };
}

const levels = ({ pixels, width }: Pixels) => [width, ...pixels];

Deno.test("compare guides by --guidance, shows how far it is, and says what is what", async () => {
  const { folder, at, weights, common } = await place();
  await using _ = folder;
  const args = ["compare", ...common, "--schedulers", "ddim,ddpm", "--steps", "2", "--label", "3"];
  const { code, err, shown } = await watched([...args, "-g", "4", "--out", at("a.png")], {});
  assertEquals([code, err], [0, [
    `${at("a.png")}: seed 0, a row a scheduler, a column a number of steps`,
  ]]);
  assertMatch(shown.at(-2)!, /^█{24} 100% {2}[\d.]+ images\/s {2}0\.0 s left$/);
  assertEquals(shown.at(-1), "");
  await using model = await load(weights, { backend: "native", threads: 1 });
  const rows = [];
  for (const scheduler of ["ddim", "ddpm"]) {
    const asked = { seeds: [0], labels: 3, scheduler, steps: 2, guidance: 4 };
    rows.push((await generate(model, asked)).map((picture) => enlarge(picture, 10)));
  }
  const words = { rows: ["ddim", "ddpm"], columns: ["2 steps"] };
  const expected = labelledGrid(rows, { ...words, scale: captionScale(120) });
  assertEquals(levels(decodePng(await Deno.readFile(at("a.png")))), levels(expected));
  const quiet = await cli([...args, "--quiet", "--force", "--out", at("a.png")]);
  assertEquals([quiet.code, quiet.err], [0, ""]);
});

Deno.test("compare refuses one column before it draws any other", async () => {
  const { folder, at, common } = await place();
  await using _ = folder;
  const plugin = at("draws.ts");
  await Deno.writeTextFile(
    plugin,
    `export default { name: "draws", api: 1, async *sampler() { throw new Error("it draws"); } };`,
  );
  const args = ["compare", ...common, "--schedulers", plugin, "--out", at("a.png")];
  const { code, err } = await cli([...args, "--steps", "2,2000"]);
  assertEquals(code, 2);
  assertMatch(err, /^denoise: --steps: expected a whole number from 1 to 1000 .* found 2000$/);
  assertStringIncludes((await cli([...args, "--steps", "2"])).err, "it draws");
});

Deno.test("interpolate draws no class where the weights know none of them, guided, along the great circle", async () => {
  const { folder, at, weights, common } = await place();
  await using _ = folder;
  await using model = await load(weights, { backend: "native", threads: 1 });
  const noise = (seed: number) => createGenerator(seed).randn(144);
  const x_T = [0, 0.5, 1].map((share) => slerp(noise(3), noise(8), share));
  const way = async (labels: number, guidance: number) => {
    const request = { seeds: [0, 1, 2], x_T, scheduler: "ddim", steps: 2, labels, guidance };
    const made: Pixels[] = [];
    for await (const { done, index, x } of sample(model, request)) {
      if (done) made[index] = enlarge(toPixels(x, model.shape), 11);
    }
    return made;
  };
  const args = ["interpolate", "3", "8", ...common, "--frames", "3", "--steps", "2"];
  const drawn = async (...more: string[]) => {
    const { code, err, bytes } = await cli([...args, "--out", "-", ...more]);
    assertEquals([code, err], [0, ""]);
    return levels(decodePng(bytes));
  };
  const row = (pictures: Pixels[]) => levels(grid(pictures, { gap: 2, background: 255 }));
  assertEquals(await drawn(), row(await way(10, 1)));
  assertEquals(await drawn("--label", "class 2", "-g", "5"), row(await way(2, 5)));
  const { code, shown, err } = await watched([...args, "--out", at("a.apng")], {});
  assertEquals([code, err], [0, [`${at("a.apng")}: 3 pictures from 3 to 8`]]);
  assertMatch(shown.at(-2)!, /^█{24} 100% {2}[\d.]+ images\/s {2}0\.0 s left$/);
  const { frames } = readApng(await Deno.readFile(at("a.apng")));
  assertEquals(frames.map(({ delay }) => delay), [120, 120, 120]);
  assertEquals([...frames[1].pixels], [...(await way(10, 1))[1].pixels]);
});

Deno.test("a picture is taken as it is where it has the weights' size, and fitted with a word where one side differs", async () => {
  const { folder, at, common } = await place();
  await using _ = folder;
  for (const [width, height, said] of [[12, 12, false], [12, 9, true], [9, 12, true]] as const) {
    const pixels = new Uint8Array(width * height).fill(90);
    await Deno.writeFile(at("x.png"), encodePng({ pixels, width, height, channels: 1 }));
    const args = ["interpolate", at("x.png"), "2", ...common, "--frames", "2", "--steps", "1"];
    const { code, err } = await cli([...args, "--out", "-"]);
    assertEquals(code, 0, err);
    const word = `${
      at("x.png")
    }: cropped and resized from ${width}×${height} to 12×12, the size these weights draw`;
    assertEquals(err, said ? word : "");
    assertEquals((await cli([...args, "--quiet", "--out", "-"])).err, "");
  }
});

Deno.test("a picture is taken back to its noise as one of the class, by as many steps", async () => {
  const { folder, at, weights, common } = await place();
  await using _ = folder;
  const pixels = Uint8Array.from({ length: 144 }, (_, p) => 40 + p);
  const picture = { pixels, width: 12, height: 12, channels: 1 };
  await Deno.writeFile(at("x.png"), encodePng(picture));
  await using model = await load(weights, { backend: "native", threads: 1 });
  const drawn = async (steps: number, labels: number, guidance: number) => {
    const how = { scheduler: schedulers.ddim, steps, guidance };
    const start = await invert(model, fromPixels(picture), { ...how, label: labels });
    const x_T = [start, createGenerator(8).randn(144)];
    const made: Pixels[] = [];
    const request = { seeds: [0, 1], x_T, scheduler: "ddim", steps, labels, guidance };
    for await (const { done, index, x } of sample(model, request)) {
      if (done) made[index] = enlarge(toPixels(x, model.shape), 11);
    }
    return levels(grid(made, { gap: 2, background: 255 }));
  };
  const cases: [string[], Promise<number[]>][] = [
    [["--steps", "2"], drawn(2, 10, 1)],
    [["--steps", "1", "--label", "class 4", "--guidance", "3"], drawn(1, 4, 3)],
  ];
  for (const [flags, expected] of cases) {
    const args = ["interpolate", at("x.png"), "8", ...common, "--frames", "2", ...flags];
    const { code, err, bytes } = await cli([...args, "--out", "-"]);
    assertEquals([code, err], [0, ""]);
    assertEquals(levels(decodePng(bytes)), await expected, flags.join(" "));
  }
});

Deno.test("weights whose channels no picture has take none, and are measured on none", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await emptyWeights(at("w"), 2);
  const pixels = new Uint8Array(64);
  await Deno.writeFile(at("x.png"), encodePng({ pixels, width: 8, height: 8, channels: 1 }));
  const takesNone = `${at("x.png")}: these weights draw 2 channels, pictures have 1 or 3`;
  const cases: [string[], string][] = [
    [["interpolate", at("x.png"), "1", "-w", at("w"), "--steps", "1", "--out", "-"], takesNone],
    [["restore", at("x.png"), "-w", at("w"), "--noise", "0.5", "--out", "-"], takesNone],
    [["eval", at("w"), "--data", at("")], "eval: pictures of 2 channels are not read; 1 and 3 are"],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await cli([...args, ...engine]);
    assertEquals([code, err.split("\n").at(-1)], [2, `denoise: ${message}`]);
  }
});

Deno.test("Ctrl-C between two pictures, or two steps, ends compare and interpolate without a file", async () => {
  const { folder, at, common } = await place();
  await using _ = folder;
  const commands = [
    ["compare", ...common, "--schedulers", "ddim", "--steps", "2,3"],
    ["interpolate", "3", "8", ...common, "--frames", "2", "--steps", "9"],
  ];
  for (const args of commands) {
    const stop = new AbortController();
    const status = (line: string) => line && stop.abort(new DOMException("stopped", "AbortError"));
    const { code, err } = await watched([...args, "--out", at("a.png")], { status }, stop);
    assertEquals([code, err], [130, ["denoise: stopped"]], args[0]);
    assertEquals(Array.from(Deno.readDirSync(folder.path), ({ name }) => name), ["w"]);
  }
});
