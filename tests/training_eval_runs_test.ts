/** `eval` as a user runs it: what is drawn side by side, what is left of a run that was stopped, what is let go. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { generate, load } from "../mod.ts";
import { grid } from "../src/image/grid.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { withEnvironment } from "./hub.ts";
import { sessionsOf } from "./ort_sessions.ts";
import { emptyWeights, tinyWeights } from "./tiny_weights.ts";
import { idxFile, pictureFolder } from "./training_pictures.ts";

const golden = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;

/** Pictures of two classes, and weights that take one step and know those classes. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("data"), ["a", "b"], 4);
  const recommended = { scheduler: "ddim", steps: 1 };
  const card = { labels: ["a", "b"], null_label: 10, recommended };
  const weights = await tinyWeights(at("w"), { card, variant: "other" });
  const args = (...more: string[]) => [
    ...["eval", weights, "--data", at("data"), "--holdout", "0.5", "--threads", "1"],
    ...["--loss-pictures", "0", "--bits-pictures", "0", "--samples", "0", ...more],
  ];
  const environment = { DENOISE_CACHE: at("cache") };
  const run = (...more: string[]) => withEnvironment(environment, () => cli(args(...more)));
  return { folder, at, weights, args, run };
}

Deno.test("side by side the teachers are above, in their order, and the weights themselves below", async () => {
  const { folder, at, weights, run } = await place();
  await using _ = folder;
  const sheet = ["--side-by-side", at("s.png"), "--json", at("f.json")];
  const recommended = { scheduler: "ddim", steps: 2 };
  const second = await tinyWeights(at("t"), { card: { recommended } });
  const { code, err } = await run("--teacher", `${second}, ${weights}`, ...sheet);
  assertEquals(code, 0, err);
  const rows = [];
  for (const source of [second, weights, weights]) {
    await using model = await load(source, { backend: "native", threads: 1 });
    rows.push(...await generate(model, { seeds: Array.from({ length: 16 }, (_, i) => i) }));
  }
  const expected = grid(rows, { columns: 16 });
  const found = decodePng(await Deno.readFile(at("s.png")));
  assertEquals([found.width, ...found.pixels], [expected.width, ...expected.pixels]);
  const json = await Deno.readTextFile(at("f.json"));
  assertEquals(JSON.parse(json).heldOutPictures, 4);
  assertEquals(json, `${JSON.stringify(JSON.parse(json), null, 2)}\n`, "a text file, to be read");
  // The first step of two is not that of one: the rows can be told apart.
  assertEquals(rows[0].pixels.join() === rows[16].pixels.join(), false);
});

Deno.test("weights of pictures that are not square are measured on such pictures", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.mkdir(at("data"));
  const pixels = Uint8Array.from({ length: 8 * 16 }, (_, i) => 1 + i);
  for (const name of ["0", "1", "2", "3"]) {
    const picture = encodePng({ pixels, width: 16, height: 8, channels: 1 });
    await Deno.writeFile(at(`data/${name}.png`), picture);
  }
  const args = [
    ...["eval", await emptyWeights(at("w"), 1, [8, 16]), "--data", at("data")],
    ...["--holdout", "0.5", "--samples", "1", "--scheduler", "ddim", "--steps", "1"],
    ...["--loss-pictures", "0", "--bits-pictures", "0", "--threads", "1", "--nearest", at("n.png")],
  ];
  const { code, err } = await cli(args);
  assertEquals(code, 0, err);
  // What is shown of the data, enlarged, is the picture that was given, not turned or squeezed.
  const { pixels: shown, width } = decodePng(await Deno.readFile(at("n.png")));
  const rows = new Set<string>();
  for (let from = 0; from < shown.length; from += width) {
    const line = shown.subarray(from, from + width);
    rows.add(line.filter((level, x) => level > 0 && level < 255 && level !== line[x - 1]).join());
  }
  for (let y = 0; y < 8; y++) {
    const row = pixels.subarray(16 * y, 16 * y + 16).join();
    assertEquals([...rows].some((line) => line.includes(row)), true, row);
  }
});

Deno.test("an evaluation that is stopped shows what it has measured, and writes it", async () => {
  const { folder, at, args } = await place();
  await using _ = folder;
  const stop = new AbortController();
  const few = ["--loss-pictures", "1", "--bits-pictures", "4", "--json", at("f.json")];
  const status = (line: string) => {
    if (line.startsWith("bits/dim")) stop.abort(new DOMException("stopped", "AbortError"));
  };
  const { code, out, err, shown } = await watched(args(...few), { status }, stop);
  assertEquals([code, err], [130, ["denoise: stopped"]]);
  assertEquals(shown.at(-1), "");
  const figures = JSON.parse(await Deno.readTextFile(at("f.json")));
  assertEquals([figures.epsLoss.bands.length, figures.bits], [10, undefined]);
  assertStringIncludes(out.join("\n"), figures.epsLoss.mean.toFixed(5));
});

Deno.test("an evaluation of restoration that is stopped shows the samplers that were measured", async () => {
  const { folder, at, args } = await place();
  await using _ = folder;
  const stop = new AbortController();
  const restore = ["--restore", "1", "--restore-samplers", "ddrm:1,ddnm:1"];
  const tasks = ["--restore-tasks", "noise 0.5; right half missing"];
  const rest = [...tasks, "--classifier-steps", "1", "--json", at("f.json")];
  const status = (line: string) => {
    // One update is enough for this classifier; it is not to take as many as it likes.
    const isLong = /^classifier: \d+ of (?!1\b)/.test(line);
    if (isLong || line.startsWith("noise 0.5: ddnm")) {
      stop.abort(new DOMException("stopped", "AbortError"));
    }
  };
  const { code, out, shown } = await withEnvironment(
    { DENOISE_CACHE: at("cache") },
    () => watched(args(...restore, ...rest), { status }, stop),
  );
  assertEquals(code, 130);
  const first = shown.slice(shown.indexOf("noise 0.5: ddrm 1: 1 of 1"));
  assertEquals(first[1], "", "nothing is left of it when its figure is told");
  const { scores } = JSON.parse(await Deno.readTextFile(at("f.json")));
  const known = scores.map(({ task, sampler }: Record<string, string>) => `${task} ${sampler}`);
  assertEquals(known.slice(0, 1), ["noise 0.5 ddrm"]);
  assertEquals(known.length < 4, true, `${known}`);
  assertStringIncludes(out.join("\n"), "`ddrm` 1");
});

Deno.test("who stops while a classifier learns does not wait for it", async () => {
  const { folder, at, args } = await place();
  await using _ = folder;
  const stop = new AbortController();
  const status = (line: string) => {
    if (line === "classifier: 2 of 500") stop.abort(new DOMException("stopped", "AbortError"));
  };
  const task = ["--restore", "1", "--restore-samplers", "ddrm:1", "--restore-tasks", "noise 0.5"];
  const { code, err, shown } = await withEnvironment(
    { DENOISE_CACHE: at("cache") },
    () => watched(args(...task, "--classifier-steps", "500"), { status }, stop),
  );
  assertEquals([code, err], [130, ["denoise: stopped"]]);
  const learnt = shown.filter((line) => line.startsWith("classifier: "));
  assertEquals(learnt, ["classifier: 1 of 500", "classifier: 2 of 500"]);
});

Deno.test("a set with a part for tests is measured on that part, and the classifier learns from the other", async () => {
  const { folder, at, args } = await place();
  await using _ = folder;
  await Deno.mkdir(at("idx"));
  const write = (name: string, count: number) =>
    Deno.writeFile(at(`idx/${name}`), idxFile([count, 2, 2], new Uint8Array(4 * count).fill(9)));
  await write("train-images-idx3-ubyte", 5);
  // No share is held out of a set that has its own; of very many some are enough.
  for (const [count, measured] of [[3, 3], [10_001, 10_000]]) {
    await write("t10k-images-idx3-ubyte", count);
    const { code, err } = await cli([
      ...args("--json", at("f.json")),
      ...["--data", at("idx"), "--holdout", "7"],
    ]);
    assertEquals(code, 0, err);
    assertEquals(JSON.parse(await Deno.readTextFile(at("f.json"))).heldOutPictures, measured);
  }
});

Deno.test("samples are by every scheduler, in every number of steps, at every guidance that is listed", async () => {
  const { folder, at, run } = await place();
  await using _ = folder;
  const lists = ["--scheduler", "ddim, dpmpp", "--steps", "1, 2", "--guidance", "1, 1.5"];
  const guided = ["--guided", "0-400, 500-999"];
  const few = ["--samples", "2", "--classifier-steps", "1", "--json", at("f.json")];
  const engine = await sessionsOf(async () => {
    const { code, err } = await run(...lists, ...guided, ...few);
    assertEquals(code, 0, err);
  });
  assertEquals([engine.threads, engine.open], [[1], 0], "the classifier's in training and at work");
  const { samples } = JSON.parse(await Deno.readTextFile(at("f.json")));
  const told = samples.map((s: Record<string, unknown>) =>
    `${s.scheduler} ${s.steps} ${s.guidance}${s.guided ? ` at ${s.guided}` : ""}`
  );
  const strengths = ["1", "1.5 at 0,400", "1.5 at 500,999"];
  const ways = ["ddim 1", "ddim 2", "dpmpp 1", "dpmpp 2"];
  // What is not guided is so once, whenever it would be.
  assertEquals(told, ways.flatMap((way) => strengths.map((strength) => `${way} ${strength}`)));
});

Deno.test("eval --restore tells samplers the labels where it is asked to, in JSON alone where it is", async () => {
  const { folder, at, run } = await place();
  await using _ = folder;
  const restore = [
    "--restore",
    "2",
    "--restore-samplers",
    "ddrm:1",
    "--restore-tasks",
    "noise 0.5",
  ];
  const quick = [...restore, "--classifier-steps", "2", "--answers", "3"];
  const scored = async (...more: string[]) => {
    const { code, out, err } = await run(...quick, ...more);
    assertEquals(code, 0, err);
    assertMatch(err, more.includes("--quiet") ? /^$/ : /^noise 0\.5: ddrm 1: -?\d+\.\d\d dB$/);
    return out;
  };
  let plain: ReturnType<typeof JSON.parse>;
  const engine = await sessionsOf(async () => plain = JSON.parse(await scored("--json", "-")));
  assertEquals([engine.threads, engine.open], [[1], 0]);
  const told = JSON.parse(await scored("--labelled", "--json", "-", "--quiet"));
  assertEquals(plain.scores.map(({ labelled }: { labelled: boolean }) => labelled), [false]);
  assertEquals(told.scores.map(({ labelled }: { labelled: boolean }) => labelled), [true]);
  assertEquals(plain.scores[0].majority.answers, 3);
  const table = await scored("--json", at("f.json"));
  assertMatch(table, /\*\*noise 0\.5\*\*/);
  assertEquals(await Deno.readTextFile(at("f.json")), `${JSON.stringify(plain, null, 2)}\n`);
  assertEquals(plain.weights, await identity(at("w")));
  const kept = [...Deno.readDirSync(at("cache/classifiers"))];
  assertEquals(kept.length, 1, "one classifier, of as many updates as were asked for");
});

/** What a report says that it is of. */
async function identity(weights: string) {
  await using model = await load(weights, { backend: "native", threads: 1 });
  return { source: model.source, hash: model.hash };
}

Deno.test("whatever becomes of an evaluation, every engine that it opened is let go", async () => {
  const { folder, at, run } = await place();
  await using _ = folder;
  const { open, made } = await sessionsOf(async () => {
    assertEquals((await run()).code, 0);
    const refused = await run("--teacher", golden("train_unconditional"));
    assertStringIncludes(refused.err, "makes pictures [3,16,16]");
    assertEquals(
      (await run("--teacher", golden("class_conditional"), "--json", at("none/f"))).code,
      2,
    );
    const late = await run("--teacher", at("w"), "--also", at("none"));
    assertEquals(late.code, 2);
  });
  assertEquals([open, made > 4], [0, true], `${open} of ${made} are open`);
});
