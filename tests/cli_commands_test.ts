/** Commands as users type them: every flag counts, and what is shown is what it says. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { generate, load } from "../mod.ts";
import { grid } from "../src/image/grid.ts";
import { captionScale, labelledGrid } from "../src/image/labelled_grid.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { enlarge } from "../src/image/resize.ts";
import type { WeightsCard } from "../src/weights/read/card.ts";
import { readApng } from "./apng.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { tinyWeights } from "./tiny_weights.ts";

const golden = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
const classes = golden("class_conditional"), colour = golden("train_unconditional");
const engine = ["--backend", "native", "--threads", "1"];

const pixelsOf = ({ pixels, width, height, channels }: Pixels) => ({
  pixels: [...pixels],
  width,
  height,
  channels,
});

Deno.test("compare draws the seed's picture of the class by each scheduler in each number of steps", async () => {
  await using model = await load(classes, { backend: "native", threads: 1 });
  const rows = [];
  for (const scheduler of ["ddim", "dpmpp"]) {
    const row = [];
    for (const steps of [1, 2]) {
      const [picture] = await generate(model, { seeds: [5], labels: 2, scheduler, steps });
      row.push(enlarge(picture, 10));
    }
    rows.push(row);
  }
  const columns = ["1 step", "2 steps"];
  const scale = captionScale(rows[0][0].width);
  const expected = labelledGrid(rows, { rows: ["ddim", "dpmpp"], columns, scale });
  const flags = ["--seed", "5", "--label", "2", "--schedulers", "ddim, dpmpp", "--steps", "1, 2"];
  const made = await cli(["compare", "-w", classes, ...engine, ...flags, "--out", "-"]);
  assertEquals(made.code, 0, made.err);
  assertEquals(pixelsOf(decodePng(made.bytes)), pixelsOf(expected));
});

Deno.test("interpolate goes from end to end by DDIM, of one class, enlarged to be seen", async () => {
  await using folder = await temporaryFolder();
  const way = async (...args: string[]) => {
    const { code, err, bytes } = await cli(["interpolate", ...args, ...engine, "--out", "-"]);
    assertEquals(code, 0, err);
    return decodePng(bytes);
  };
  await using model = await load(classes, { backend: "native", threads: 1 });
  const ends = async (steps: number) =>
    pixelsOf(grid(
      (await generate(model, { seeds: [3, 8], labels: 0, scheduler: "ddim", steps }))
        .map((picture) => enlarge(picture, 11)),
      { gap: 2, background: 255 },
    ));
  const two = ["-w", classes, "--frames", "2"];
  assertEquals(pixelsOf(await way("3", "8", ...two, "--steps", "2")), await ends(2));
  assertEquals(pixelsOf(await way("3", "8", ...two, "--steps", "3")), await ends(3));
  const gif = `${folder.path}/a.gif`;
  const { code, err } = await cli([
    ...["interpolate", "3", "8", "-w", classes, ...engine, "--frames", "3", "--steps", "1"],
    ...["--out", gif],
  ]);
  assertEquals(code, 0, err);
  assertMatch(err, /a\.gif: 3 pictures from 3 to 8$/);
  const reader = new omggif.GifReader(await Deno.readFile(gif));
  assertEquals([reader.numFrames(), reader.frameInfo(0).delay], [3, 12]);
  // A grey picture of another width, for weights in colour.
  const grey = `${folder.path}/grey.png`;
  await Deno.writeFile(
    grey,
    encodePng({ pixels: new Uint8Array(12 * 8).fill(90), width: 12, height: 8, channels: 1 }),
  );
  const args = ["interpolate", grey, "2", "-w", colour, ...engine, "--frames", "2", "--steps", "2"];
  const made = await cli([...args, "--out", "-"]);
  assertEquals(made.code, 0, made.err);
  assertMatch(made.err, /grey\.png: cropped and resized from 12×8 to \d+×\d+, the size these/);
  assertEquals(decodePng(made.bytes).channels, 3);
  for (const frames of ["1", "1001"]) {
    const refused = await cli(["interpolate", "1", "2", "--frames", frames, "--out", "-"]);
    assertStringIncludes(refused.err, "--frames: expected a whole number from 2 to 1000");
  }
  const negative = await cli(["interpolate", "1", "--out", "-", "--", "-3"]);
  assertStringIncludes(negative.err, "-3: expected a seed from 0 to 4294967295, or a picture's");
});

Deno.test("inspect says what sample will do: sampler, steps, guidance and evaluations of it", async () => {
  const text = async (weights: string) => (await cli(["inspect", weights])).out;
  assertMatch(
    await text("digits"),
    /^by default +dpmpp, 20 steps, guidance 2: 40 evaluations a picture$/m,
  );
  assertMatch(await text("digits-1"), /^by default +\w+, 1 step: 1 evaluation a picture$/m);
  const whole = await text("digits");
  assertMatch(whole, /^pictures +28×28, grey$/m);
  assertMatch(whole, /^classes +0, 1, 2, 3, 4, 5, 6, 7, 8, 9$/m);
  assertMatch(whole, /^memory +4\.3 MiB weights \+ 883 KiB a picture$/m);
  const onnx = await text(golden("onnx/fixed_batch.onnx"));
  assertMatch(onnx, /^pictures +12×8, 3 channels$/m);
  assertMatch(onnx, /^by default +ddim, 50 steps: 50 evaluations a picture$/m);
  assertMatch(await text(colour), /^classes +none$/m);
  const json = JSON.parse((await cli(["inspect", "digits", "--json"])).out);
  assertEquals([json.default_run, json.evaluations], [
    { scheduler: "dpmpp", steps: 20, guidance: 2 },
    40,
  ]);
});

Deno.test("convert overwrites where it may, halves what can be halved, and says so in the file", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const convert = async (to: string, ...flags: string[]) =>
    await cli(["convert", classes, to, ...flags]);
  await Deno.writeTextFile(at("w.safetensors"), "mine");
  assertEquals((await convert(at("w.safetensors"))).code, 2);
  assertEquals((await convert(at("w.safetensors"), "--force")).code, 0);
  const sizes = [];
  for (const flags of [[], ["--fp16"]]) {
    const { code, err } = await convert(at("f/"), "--force", ...flags);
    assertEquals(code, 0, err);
    const bytes = await Deno.readFile(at("f/unet/diffusion_pytorch_model.safetensors"));
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    assertEquals(header.__metadata__?.format, "pt", "as diffusers asks");
    sizes.push(bytes.length);
  }
  assert(sizes[1] < 0.6 * sizes[0], `${sizes}`);
  // In an archive they are smaller still.
  for (const [i, flags] of [[], ["--fp16"]].entries()) {
    assertEquals((await convert(at("f.zip"), "--force", ...flags)).code, 0);
    const { size } = await Deno.stat(at("f.zip"));
    assert(size < 0.97 * sizes[i] && size > 0.6 * sizes[i], `${size} of ${sizes[i]}`);
  }
  for (const name of ["h.npz", "h.onnx"]) {
    const { code, err } = await convert(at(name), "--fp16");
    assertEquals(code, 2);
    assertMatch(err, /^denoise: --fp16: \.(npz|onnx) files have 32-bit weights here$/);
    assertEquals(await Deno.stat(at(name)).catch(() => undefined), undefined);
  }
});

Deno.test("noise: short chains show what there is, grey stays grey, animations rest at both ends", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const pixels = Uint8Array.from({ length: 64 }, (_, i) => i % 2 ? 255 : 4 * i);
  await Deno.writeFile(at("a.png"), encodePng({ pixels, width: 8, height: 4, channels: 2 }));
  const noise = (...args: string[]) => cli(["noise", at("a.png"), ...args]);
  const short = await noise("--steps", "2", "--out", at("s.png"));
  assertMatch(short.err, /s\.png: linear, 3 of 2 steps, seed 0$/);
  assertEquals(decodePng(await Deno.readFile(at("s.png"))).channels, 1);
  const long = await noise("--out", at("l.png"), "--seed", "4");
  assertMatch(long.err, /9 of 1000 steps, seed 4$/);
  for (const [steps, frames, most] of [["2", "4", 3], ["5000", "1001", 1000]]) {
    const { code, err } = await noise("--steps", `${steps}`, "--frames", `${frames}`, "--out", "-");
    assertEquals(code, 2);
    assertMatch(err, new RegExp(`--frames: expected a whole number from 2 to ${most}, found`));
  }
  assertMatch((await noise("--steps", "60", "--out", at("n.gif"))).err, /48 of 60 steps, seed 0$/);
  assertEquals((await noise("--steps", "12", "--frames", "4", "--out", at("m.gif"))).code, 0);
  const gif = new omggif.GifReader(await Deno.readFile(at("m.gif")));
  const delays = [0, 1, 2, 3].map((i) => gif.frameInfo(i));
  assertEquals(delays.map(({ delay }) => delay), [100, 8, 8, 100]);
  // x_0 and x_12: the words differ in length, the frames do not.
  assertEquals(new Set(delays.map(({ width, height }) => `${width} ${height}`)).size, 1);
  assertEquals((await noise("--steps", "12", "--frames", "3", "--out", at("m.apng"))).code, 0);
  const { frames } = readApng(await Deno.readFile(at("m.apng")));
  assertEquals(frames.map(({ delay }) => delay), [1000, 80, 1000]);
});

Deno.test("sample says which seeds it made, of what, and asks before it overwrites its own source", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const tiny = ["sample", "-w", classes, ...engine, "--steps", "1", "--scheduler", "ddim"];
  const said = async (...args: string[]) => {
    const { code, err } = await cli([...tiny, ...args]);
    assertEquals(code, 0, err);
    return err.split(": ").slice(1).join(": ").replace(/, [\d.]+ s on native$/, "");
  };
  assertEquals(await said("--out", at("a.png")), "16 pictures, seeds 0-15, ddim 1 step");
  assertEquals(await said("--seed", "7", "--out", at("b.png")), "1 picture, seed 7, ddim 1 step");
  const folderOf = ["--out", at("many/")];
  assertEquals(await said("--seeds", "3,5", ...folderOf), "2 pictures, 2 seeds");
  assertEquals(
    await said("--seeds", "3-5", "--resume", ...folderOf),
    "1 picture, 2 were there, seeds 3-5",
  );
  assertEquals(
    await said("--seeds", "3", "--shard", "0/2", "--out", at("no/")),
    "0 pictures, no seeds",
  );
  const from = ["sample", "-w", classes, ...engine, "--from", at("b.png")];
  const own = await cli([...from, "--out", at("b.png")]);
  assertEquals([own.code, own.err.includes("the file is there already")], [2, true]);
  const again = await cli([...from, "--out", at("c.png")]);
  assertEquals(again.code, 0, again.err);
  assert(!again.err.includes("other weights"), "they are the same");
  assertMatch(again.err, /1 picture, seed 7, ddim 1 step, the same pixels as .*b\.png, /);
});

Deno.test("a picture of other weights is told with both their hashes, its own first; --quiet says nothing", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [mine, other] = [classes, await tinyWeights(at("w"), { variant: "x" })];
  const made = ["sample", "-w", mine, ...engine, "--steps", "1", "--n", "1", "--out", at("a.png")];
  assertEquals((await cli(made)).code, 0);
  const from = ["sample", "-w", other, "--variant", "x", ...engine, "--from", at("a.png")];
  const hash = async (...args: string[]) =>
    JSON.parse((await cli(["inspect", ...args, "--json"])).out).hash.slice(0, 12);
  const { err } = await cli([...from, "--out", "-"]);
  const [own, these] = [await hash(mine), await hash(other, "--variant", "x")];
  const said = `${at("a.png")} was made with other weights (${own}…, these are ${these}…)`;
  assertEquals(err.split("\n")[0], said);
  const quiet = await cli([...from, "--out", "-", "--quiet"]);
  assertEquals([quiet.code, quiet.err], [0, ""]);
});

Deno.test("how long it took is said in seconds and minutes", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/x.png`;
  const pixels = new Uint8Array(144);
  await Deno.writeFile(image, encodePng({ pixels, width: 12, height: 12, channels: 1 }));
  const quick = ["-w", classes, ...engine, "--steps", "1", "--n", "1", "--out", "-"];
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const cases: [string[], number, string][] = [
      [["sample"], 125, "2 min 5 s"],
      [["restore", image, "--noise", "0.5", "--label", "1"], 8.34, "8.3 s"],
    ];
    for (const [args, seconds, text] of cases) {
      time = 7000;
      const status = () => void (time = 7000 + 1000 * seconds);
      const { err } = await watched([...args, ...quick], { status });
      assertStringIncludes(err.at(-1)!, `, ${text} on native`);
    }
  } finally {
    performance.now = now;
  }
});

Deno.test("inspect says when guidance is given, and why what is recommended cannot be sampled", async () => {
  await using folder = await temporaryFolder();
  const inspect = async (recommended: WeightsCard["recommended"], ...flags: string[]) => {
    const card = { null_label: 10, recommended };
    const weights = await tinyWeights(`${folder.path}/w`, { card });
    const { code, out, err } = await cli(["inspect", weights, ...flags]);
    assertEquals([code, err], [0, ""]);
    return out;
  };
  const told = async (recommended: WeightsCard["recommended"]) =>
    /^by default +(.*)$/m.exec(await inspect(recommended))![1];
  const ddim = { scheduler: "ddim", steps: 4 };
  assertEquals(await told(ddim), "ddim, 4 steps: 4 evaluations a picture");
  const strong = { ...ddim, guidance: 3 };
  assertEquals(await told(strong), "ddim, 4 steps, guidance 3: 8 evaluations a picture");
  // At 750, 500, 250 and 0 the network is asked; twice at those from 250 to 600.
  const guided = [250, 600] as const;
  assertEquals(
    await told({ ...strong, guided }),
    "ddim, 4 steps, guidance 3 at t = 250 … 600: 6 evaluations a picture",
  );
  assertEquals(
    await told({ ...ddim, guided }),
    "ddim, 4 steps: 4 evaluations a picture",
    "without guidance there is nothing to be guided",
  );
  const many = { scheduler: "ddim", steps: 1001 };
  assertMatch(await told(many), /^ddim, 1001 steps: steps: expected a whole number from 1 to 1000/);
  const json = JSON.parse(await inspect({ ...strong, guided }, "--json"));
  assertEquals([json.default_run, json.evaluations], [{ ...strong, guided: [250, 600] }, 6]);
  const refused = JSON.parse(await inspect(many, "--json"));
  assertEquals([refused.evaluations, typeof refused.refused], [undefined, "string"]);
});

Deno.test("convert says what it wrote, and how the network was trained goes along", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const card = { labels: ["cat", "dog"], null_label: 10 };
  const weights = await tinyWeights(at("w"), { card, variant: "ema" });
  for (const name of ["a.safetensors", "a.npz", "a.zip", "a.onnx", "a/"]) {
    const { code, err } = await cli(["convert", weights, at(name)]);
    assertEquals([code, err], [0, `${at(name)}: 143 tensors of ${weights}/`]);
    const { picture, classes, scheduler } = JSON.parse(
      (await cli(["inspect", at(name), "--json"])).out,
    );
    assertEquals([picture, classes.slice(0, 2)], [[1, 12, 12], ["cat", "dog"]], name);
    assertEquals(scheduler.num_train_timesteps, 1000, name);
    const quiet = await cli(["convert", weights, at(name), "--force", "--quiet"]);
    assertEquals([quiet.code, quiet.err], [0, ""]);
  }
  const hash = async (path: string) =>
    JSON.parse((await cli(["inspect", path, "--json"])).out).hash;
  const variant = ["--variant", "ema", "--quiet"];
  assertEquals((await cli(["convert", weights, at("b.safetensors"), ...variant])).code, 0);
  assert(await hash(at("b.safetensors")) !== await hash(at("a.safetensors")));
});
