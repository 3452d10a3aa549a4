import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { closedForm, stepByStep, timestepsToShow } from "../src/cli/forward.ts";
import { createGenerator, linearBetas, makeSchedule } from "../src/diffusion/mod.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";

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

Deno.test("the strip begins with the picture, ends in noise, and has a row a schedule", async () => {
  const strip = decodePng(await noise("--frames", "3", "--schedule", "linear,cosine"), "strip");
  const [width, height] = [8 * 16, 4 * 16];
  assertEquals([strip.width, strip.height], [3 * width + 4, 2 * height + 2]);
  const level = (x: number, y: number) => strip.pixels[(y * strip.width + x) * strip.channels];
  for (const top of [0, height + 2]) {
    for (let i = 0; i < 32; i++) {
      const [x, y] = [i % 8 * 16 + 5, top + Math.floor(i / 8) * 16 + 5];
      assertEquals(level(x, y), i * 8, "x_0 is the picture");
    }
  }
  const middle = (top: number) =>
    Array.from({ length: 8 }, (_, i) => level(width + 2 + i * 16, top + 16));
  assert(middle(0).join() !== middle(height + 2).join(), "schedules differ half way");
  const end = (top: number) =>
    Array.from({ length: 8 }, (_, i) => level(2 * width + 4 + i * 16, top + 16));
  end(0).forEach((value, i) => {
    assertAlmostEquals(value, end(height + 2)[i], 3, "the same noise at the end");
  });
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
  const svg = new TextDecoder().decode(
    await noise("--schedule", "linear,cosine", "--out", "a.svg"),
  );
  assertMatch(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assertEquals(svg.match(/<polyline /g)?.length, 4, "ᾱ and SNR of two schedules");
  assert(svg.includes(">linear<") && svg.includes(">cosine<"));
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
    [["--size", "0"], /--size/],
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
