import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { closedForm, stepByStep, timestepsToShow } from "../src/cli/drawing/forward.ts";
import { createGenerator, linearBetas, makeSchedule } from "../src/diffusion/mod.ts";
import { captionScale } from "../src/image/labelled_grid.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { drawText, textHeight, textWidth } from "../src/image/text.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";

/** A picture of 8×4 pixels whose grey levels are all different. */
const picture = encodePng({
  pixels: Uint8Array.from({ length: 32 }, (_, i) => i * 8),
  width: 8,
  height: 4,
  channels: 1,
});

async function noise(...args: string[]) {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`;
  await Deno.writeFile(image, picture);
  const at = args.indexOf("--out");
  const out = at < 0 ? "-" : args[at + 1];
  const rest = at < 0 ? args : args.toSpliced(at, 2);
  const path = out === "-" ? "-" : `${folder.path}/${out}`;
  const result = await cli(["noise", image, ...rest, "--out", path]);
  assertEquals(result.code, 0, result.err);
  return out === "-" ? result.bytes : await Deno.readFile(path);
}

Deno.test("timesteps run from the picture itself to the last one", () => {
  assertEquals(timestepsToShow(1000, 5), [-1, 249, 499, 749, 999]);
  assertEquals(timestepsToShow(2, 3), [-1, 0, 1]);
});

Deno.test("both ways through the forward process have the moments of q(x_t | x_0)", () => {
  const schedule = makeSchedule(linearBetas(100));
  const timesteps = [-1, 0, 9, 49, 99];
  const x_0 = new Float32Array(20_000).fill(0.7);
  for (const way of [closedForm, stepByStep]) {
    const states = [...way(x_0, schedule, timesteps, createGenerator(3))];
    assertEquals(states[0], x_0);
    for (const [i, x] of states.entries()) {
      const alpha_bar = schedule.alpha_bar(timesteps[i]);
      const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
      const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
      assertAlmostEquals(mean, Math.sqrt(alpha_bar) * 0.7, 0.03, `${way.name} t=${timesteps[i]}`);
      assertAlmostEquals(variance, 1 - alpha_bar, 0.03, `${way.name} t=${timesteps[i]}`);
    }
  }
});

/** The largest distance between the shares of two samples below a value (Kolmogorov, Smirnov). */
function farthest(a: Float32Array, b: Float32Array): number {
  const [first, second] = [a.toSorted(), b.toSorted()];
  let i = 0, j = 0, most = 0;
  while (i < first.length && j < second.length) {
    if (first[i] <= second[j]) i++;
    else j++;
    most = Math.max(most, Math.abs(i / first.length - j / second.length));
  }
  return most;
}

Deno.test("step by step and in closed form x_t has one distribution, at every t", () => {
  const timesteps = [0, 4, 19, 49, 99];
  const x_0 = Float32Array.from({ length: 20_000 }, (_, i) => i % 2 ? 0.7 : -0.9);
  const states = (way: typeof closedForm, beta_end: number, seed: number) => [
    ...way(x_0, makeSchedule(linearBetas(100, 1e-4, beta_end)), timesteps, createGenerator(seed)),
  ];
  const closed = states(closedForm, 0.02, 1), walked = states(stepByStep, 0.02, 2);
  const other = states(stepByStep, 0.03, 2);
  // Two samples of one distribution are farther apart than this once in a thousand times.
  const chance = 1.95 * Math.sqrt(2 / x_0.length);
  timesteps.forEach((t, i) => {
    assert(farthest(closed[i], walked[i]) < chance, `t = ${t}`);
    if (t === 19 || t === 49) {
      assert(farthest(closed[i], other[i]) > chance, `other βs are told apart at ${t}`);
    }
  });
});

Deno.test("the strip begins with the picture, ends in noise, and has a row a schedule", async () => {
  const strip = decodePng(await noise("--frames", "3", "--schedule", "linear,cosine"), "strip");
  // Pixels become squares of 14, words are of scale 2, gaps of 4 lie between everything.
  const [width, height, gap] = [8 * 14, 4 * 14, 4];
  const left = gap + textWidth("linear", 2) + gap, head = gap + textHeight(2) + gap;
  assertEquals(
    [strip.width, strip.height],
    [left + 3 * (width + gap), head + 2 * (height + gap)],
  );
  const level = (x: number, y: number) => strip.pixels[(y * strip.width + x) * strip.channels];
  const cell = (column: number, row: number) =>
    Array.from({ length: 32 }, (_, i) =>
      level(
        left + column * (width + gap) + i % 8 * 14 + 5,
        head + row * (height + gap) + Math.floor(i / 8) * 14 + 5,
      ));
  for (const row of [0, 1]) {
    assertEquals(cell(0, row), Array.from({ length: 32 }, (_, i) => i * 8), "x_0 is the picture");
  }
  assert(cell(1, 0).join() !== cell(1, 1).join(), "schedules differ half way");
  cell(2, 0).forEach((value, i) => {
    assertAlmostEquals(value, cell(2, 1)[i], 3, "the same noise at the end");
  });
  const words = {
    pixels: new Uint8Array(width * head).fill(255),
    width,
    height: head,
    channels: 1,
  };
  drawText(words, "x_500", Math.floor((width - textWidth("x_500", 2)) / 2), gap, { scale: 2 });
  for (let y = 0; y < head; y++) {
    for (let x = 0; x < width; x++) {
      assertEquals(level(left + width + gap + x, y), words.pixels[y * width + x], "says x_500");
    }
  }
});

Deno.test("a wide picture is kept within 256 pixels a side, and --size is its height", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/wide.png`;
  const wide = { pixels: new Uint8Array(600 * 20), width: 600, height: 20, channels: 1 };
  await Deno.writeFile(image, encodePng(wide));
  const strip = async (...flags: string[]) => {
    const { bytes, err } = await cli(["noise", image, "--frames", "2", ...flags, "--out", "-"]);
    return decodePng(bytes, err);
  };
  for (const [flags, width] of [[[], 240], [["--size", "20"], 600]] as [string[], number][]) {
    const expected = 4 + textWidth("linear", 2) + 4 + 2 * (width + 4);
    assertEquals((await strip(...flags)).width, expected);
  }
  // A high one to just 256.
  const high = { pixels: new Uint8Array(4 * 512), width: 4, height: 512, channels: 1 };
  await Deno.writeFile(image, encodePng(high));
  assertEquals((await strip()).height, 4 + textHeight() + 4 + 256 + 4);
});

Deno.test("a strip is grey or in colour as its picture is, whatever is transparent of it", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`;
  for (const [channels, expected] of [[1, 1], [2, 1], [3, 3], [4, 3]]) {
    const pixels = Uint8Array.from({ length: 64 * channels }, (_, i) => i);
    await Deno.writeFile(image, encodePng({ pixels, width: 8, height: 8, channels }));
    const { bytes } = await cli(["noise", image, "--frames", "2", "--steps", "2", "--out", "-"]);
    assertEquals(decodePng(bytes).channels, expected);
  }
});

Deno.test("a small picture is enlarged by its longer side, high or wide", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`;
  for (const [width, height] of [[8, 4], [4, 8], [8, 8]]) {
    const pixels = new Uint8Array(width * height);
    await Deno.writeFile(image, encodePng({ pixels, width, height, channels: 1 }));
    const { bytes } = await cli(["noise", image, "--frames", "2", "--steps", "2", "--out", "-"]);
    const scale = captionScale(14 * width);
    assertEquals(decodePng(bytes).height, 4 + textHeight(scale) + 4 + 14 * height + 4);
  }
});

Deno.test("Ctrl-C ends a long walk between its frames", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`;
  await Deno.writeFile(image, picture);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("Ctrl-C")), 30);
  const long = ["--step-by-step", "--steps", "10000", "--frames", "1000"];
  const { code } = await cli(
    ["noise", image, ...long, "--out", `${folder.path}/a.png`],
    stop.signal,
  );
  assertEquals(code, 130);
  assertEquals([...Deno.readDirSync(folder.path)].length, 1);
});

Deno.test("a seed's strip is the same every time, another seed's another, a walk another still", async () => {
  const [a, b, c, d] = await Promise.all([
    noise("--seed", "5"),
    noise("--seed", "5"),
    noise("--seed", "6"),
    noise("--seed", "5", "--step-by-step"),
  ]);
  assertEquals(a, b);
  for (const other of [c, d]) assert(other.join() !== a.join());
});

Deno.test("a .gif moves, a .svg shows the curves of every schedule", async () => {
  const latin1 = new TextDecoder("latin1");
  const gif = await noise("--frames", "4", "--out", "a.gif");
  assertEquals(latin1.decode(gif.subarray(0, 6)), "GIF89a");
  assertEquals(new omggif.GifReader(gif).numFrames(), 4);
  const svg = new TextDecoder().decode(
    await noise("--schedule", "linear,cosine", "--out", "a.svg"),
  );
  assertMatch(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assertEquals(svg.match(/<polyline /g)?.length, 4, "ᾱ and SNR of two schedules");
  assert(svg.includes(">linear<") && svg.includes(">cosine<"));
  // Where the curve of ᾱ under linear is half way along: ᾱ_500 of 1000 steps, on a panel of 340×230.
  const [, points] = /<polyline points="([^"]+)"/.exec(svg)!;
  const [x, y] = points.split(" ")[100].split(",").map(Number);
  const t = Math.round(x / 340 * 999);
  assertAlmostEquals(1 - y / 230, makeSchedule(linearBetas(1000)).alpha_bar(t), 0.002);
});

Deno.test("noise shows which state of which schedule it draws, and says what it made", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`, strip = `${folder.path}/a.png`;
  await Deno.writeFile(image, picture);
  const schedules = ["--schedule", "linear, cosine", "--frames", "2"];
  const { code, err, shown } = await watched(["noise", image, ...schedules, "--out", strip], {});
  assertEquals([code, err], [0, [`${strip}: linear, cosine, 2 of 1000 steps, seed 0`]]);
  const states = (name: string) => [`${name}: 1 of 2`, `${name}: 2 of 2`, ""];
  assertEquals(shown, [...states("linear"), ...states("cosine")]);
  const svg = `${folder.path}/a.svg`;
  assertEquals((await cli(["noise", image, "--out", svg])).err, `${svg}: linear, curves`);
  assertEquals((await cli(["noise", image, "--out", svg, "--force", "--quiet"])).err, "");
});

Deno.test("what noise does not know is refused in one line", async () => {
  await using folder = await temporaryFolder();
  const image = `${folder.path}/in.png`;
  await Deno.writeFile(image, picture);
  const refusals: [string[], RegExp][] = [
    [["--schedule", "quadratic"], /schedule: expected one of linear, .*found "quadratic"/],
    [["--frames", "1"], /--frames: expected a whole number from 2/],
    [["--steps", "1"], /--steps: expected a whole number from 2/],
    [["--out", `${folder.path}/a.npz`], /expected \.png, \.gif, \.apng, \.svg or - /],
    [["--size", "0"], /--size: expected a whole number from 1 to 4096/],
    [["--size", "4097"], /--size: expected a whole number from 1 to 4096/],
    [["--steps", "1000001"], /--steps: expected a whole number from 2 to 1000000/],
  ];
  for (const [args, message] of refusals) {
    const { code, err } = await cli(["noise", image, "--out", `${folder.path}/o.png`, ...args]);
    assertEquals(code, 2);
    assertMatch(err, /^denoise: [^\n]+$/);
    assertMatch(err, message);
  }
  const text = `${folder.path}/text.png`;
  await Deno.writeTextFile(text, "not a picture");
  const { code, err } = await cli(["noise", text, "--out", "-"]);
  assertEquals(code, 2);
  assertMatch(err, /text\.png: expected a PNG or JPEG picture/);
  assertEquals([...Deno.readDirSync(folder.path)].length, 2);
});

Deno.test("a picture that is all width or all height is cut, not filled up to gigabytes", async () => {
  await using folder = await temporaryFolder();
  for (const [width, height] of [[60_000, 1], [1, 60_000], [60_000, 20]]) {
    const image = `${folder.path}/in.png`;
    const pixels = new Uint8Array(width * height).map((_, i) => i % 256);
    await Deno.writeFile(image, encodePng({ pixels, width, height, channels: 1 }));
    for (const size of [[], ["--size", "8"]]) {
      const out = `${folder.path}/out.npz`;
      const args = ["noise", image, "--steps", "2", ...size, "--out", `${folder.path}/o.png`];
      const { code, err } = await cli([...args, "--force"]);
      assertEquals(code, 0, `${out}: ${err}`);
      const made = decodePng(await Deno.readFile(`${folder.path}/o.png`));
      assert(made.width * made.height < 4e6, `${made.width} × ${made.height}`);
    }
  }
});
