/** inspect, convert, compare and interpolate on real weights. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as ort from "npm:onnxruntime-node@1.30.0";
import { decodePng } from "../src/image/png.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { locate } from "../src/weights/find/locate.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { readGolden } from "./golden.ts";

const conditional = new URL("./golden/class_conditional/", import.meta.url).href;
const old = new URL("./golden/ddpm_legacy_root/", import.meta.url).href;

Deno.test("inspect counts parameters and says what sample would do", async () => {
  const { code, out } = await cli(["inspect", conditional]);
  assertEquals(code, 0);
  assertStringIncludes(out, "ddim, 50 steps: 50 evaluations");
  const report = JSON.parse((await cli(["inspect", "--json", conditional])).out);
  assertEquals(report.picture, [1, 12, 12]);
  const { blocks } = report as { blocks: { parameters: number; tensors: number }[] };
  assertEquals(blocks.reduce((n, b) => n + b.parameters, 0), report.parameters);
  assertEquals(blocks.reduce((n, b) => n + b.tensors, 0), report.tensors);
  assert(report.multiply_adds > 0 && report.memory.activations > 4 * 12 * 12 * 16);
});

Deno.test("inspect is a page of facts, and a line for each part of the network", async () => {
  const { out } = await cli(["inspect", conditional]);
  const told = out.replace(/^(weights +)\S+\/tests/m, "$1tests")
    .replace(/^(hash +)[0-9a-f]{64}$/m, "$1…").replace(/^(memory +).*$/m, "$1…");
  assertEquals(told.split("\n"), [
    "weights        tests/golden/class_conditional/",
    "hash           …",
    "pictures       12×12, grey",
    "classes        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
    "predicts       epsilon, fixed_small",
    "schedule       linear, T = 1000",
    "blocks         DownBlock2D AttnDownBlock2D UNetMidBlock2D AttnUpBlock2D UpBlock2D",
    "parameters     72,817 in 143 tensors",
    "an evaluation  4,616,704 multiply-adds a picture",
    "memory         …",
    "by default     ddim, 50 steps: 50 evaluations a picture",
    "",
    "time_embedding      4 tensors         5,248",
    "class_embedding     1 tensors           704",
    "conv_in             2 tensors           160",
    "down_blocks.0      12 tensors         8,064",
    "down_blocks.1      20 tensors         6,864",
    "mid_block          30 tensors        12,608",
    "up_blocks.0        46 tensors        21,776",
    "up_blocks.1        24 tensors        17,216",
    "conv_norm_out       2 tensors            32",
    "conv_out            2 tensors           145",
  ]);
  const onnx = await cli([
    "inspect",
    new URL("./golden/onnx/fixed_batch.onnx", import.meta.url).href,
  ]);
  const names = onnx.out.split("\n").map((line) => line.slice(0, 14).trim());
  assertEquals(names, [
    ...["weights", "hash", "pictures", "classes", "schedule", "inputs", "output", "made by"],
    ...["operators", "parameters", "by default"],
  ]);
  assertStringIncludes(onnx.out, "output         out_sample float32 [1, 6, 8, 12]\n");
  assertStringIncludes(onnx.out, "made by        pytorch 1.13.0, opset 16\n");
  assertStringIncludes(onnx.out, "operators      Constant 44, Mul 22, Add 19, ");
  assertStringIncludes(onnx.out, "parameters     11,390 in 55 tensors\n");
});

Deno.test("inspect refuses what is no folder of weights in one line", async () => {
  const { code, err } = await cli(["inspect", "tests/nothing-here"]);
  assertEquals(code, 2);
  assertStringIncludes(err, "there is no such folder or file");
});

Deno.test("convert goes round: folder, zip, npz, safetensors and back to the same tensors", async () => {
  await using folder = await temporaryFolder();
  const first = await readFolder(await locate(old));
  let from = old;
  for (const name of ["a/", "b.zip", "c.npz", "d.safetensors", "e/"]) {
    const to = `${folder.path}/${name}`;
    const { code, err } = await cli(["convert", from, to]);
    assertEquals(code, 0, err);
    from = to;
  }
  const last = await readFolder(await locate(from));
  assertEquals(last.tensors.size, first.tensors.size);
  assertEquals(last.network.json(), first.network.json());
  assertEquals(last.scheduler, first.scheduler);
  const query = last.tensors.get("mid_block.attentions.0.to_q.weight")!;
  const before = first.tensors.get("mid_block.attentions.0.query.weight")!;
  assertEquals(query.data, before.data);
  assertEquals(query.shape, before.shape.slice(0, 2));
});

Deno.test("convert --fp16 halves the file and keeps what fp16 can", async () => {
  await using folder = await temporaryFolder();
  const to = `${folder.path}/half.safetensors`;
  assertEquals((await cli(["convert", conditional, to, "--fp16"])).code, 0);
  const [full, half] = [
    await readFolder(await locate(conditional)),
    await readFolder(await locate(to)),
  ];
  for (const [name, { data }] of full.tensors) {
    const rounded = half.tensors.get(name)!.data;
    assert(data.every((x, i) => Math.abs(x - rounded[i]) <= Math.abs(x) / 1024 + 2 ** -24), name);
  }
});

Deno.test("convert to .onnx gives one file that bare onnxruntime runs as PyTorch would", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/unet.onnx`;
  assertEquals((await cli(["convert", conditional, path])).code, 0);
  const golden = await readGolden("class_conditional/io.safetensors");
  const session = await ort.InferenceSession.create(path, { logSeverityLevel: 3 });
  const labels = golden.integers("class_labels")!;
  const { out_sample } = await session.run({
    sample: new ort.Tensor("float32", golden.floats("sample"), golden.shape("sample")),
    timestep: new ort.Tensor("float32", Float32Array.from(golden.integers("timestep")!), [
      labels.length,
    ]),
    class_labels: new ort.Tensor("int32", Int32Array.from(labels), [labels.length]),
  });
  const expected = golden.floats("out");
  const found = out_sample.data as Float32Array;
  assert(expected.every((x, i) => Math.abs(x - found[i]) < 2e-5));
  await session.release();
});

Deno.test("convert does not overwrite, and refuses endings it does not know", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/w.zip`;
  await Deno.writeTextFile(path, "mine");
  assertEquals((await cli(["convert", conditional, path])).code, 2);
  assertEquals(await Deno.readTextFile(path), "mine");
  assertEquals((await cli(["convert", conditional, `${folder.path}/w.bin`])).code, 2);
});

Deno.test("compare draws a labelled grid, a row a scheduler and a column a number of steps", async () => {
  await using folder = await temporaryFolder();
  const out = `${folder.path}/compare.png`;
  const flags = ["--backend", "native", "--schedulers", "ddim,dpmpp", "--steps", "2,3"];
  const { code, err } = await cli(["compare", "-w", conditional, ...flags, "--out", out]);
  assertEquals(code, 0, err);
  const { width, height } = decodePng(await Deno.readFile(out));
  assert(width > 2 * 64 && height > 2 * 64);
});

Deno.test("interpolate goes from one seed's picture to the other's", async () => {
  await using folder = await temporaryFolder();
  const flags = ["-w", conditional, "--backend", "native", "--label", "1", "--steps", "5"];
  const out = `${folder.path}/way.png`;
  const way = await cli(["interpolate", "3", "8", "--frames", "4", ...flags, "--out", out]);
  assertEquals(way.code, 0, way.err);
  const grid = decodePng(await Deno.readFile(out));
  const ends = [];
  for (const seed of ["3", "8"]) {
    const file = `${folder.path}/${seed}.png`;
    const ddim = ["--scheduler", "ddim", "--guidance", "1"];
    await cli(["sample", "--seed", seed, ...flags, ...ddim, "--out", file]);
    ends.push(decodePng(await Deno.readFile(file)));
  }
  // Enlarged so that a picture of 12 is 132 pixels across, two by two with a gap of 2.
  const factor = 11;
  const at = (column: number, row: number) =>
    Array.from({ length: 144 }, (_, p) => {
      const x = column * (12 * factor + 2) + (p % 12) * factor;
      const y = row * (12 * factor + 2) + Math.floor(p / 12) * factor;
      return grid.pixels[(y * grid.width + x) * grid.channels];
    });
  assertEquals(at(0, 0), [...ends[0].pixels]);
  assertEquals(at(1, 1), [...ends[1].pixels]);
});

Deno.test("DDIM inversion brings a picture back to noise that draws it again", async () => {
  await using folder = await temporaryFolder();
  const digits = new URL("./golden/digits/", import.meta.url).href;
  const flags = ["-w", digits, "--backend", "native"];
  const file = `${folder.path}/seven.png`;
  await cli([
    "sample",
    "--seed",
    "1",
    ...flags,
    "--steps",
    "20",
    "--scheduler",
    "ddim",
    "--out",
    file,
  ]);
  const out = `${folder.path}/way.png`;
  const { code, err } = await cli(
    ["interpolate", file, "2", "--frames", "2", "--steps", "50", ...flags, "--out", out],
  );
  assertEquals(code, 0, err);
  const picture = decodePng(await Deno.readFile(file));
  const grid = decodePng(await Deno.readFile(out));
  const differences = Array.from({ length: 1024 }, (_, p) => {
    const x = (p % 32) * 4, y = Math.floor(p / 32) * 4;
    return Math.abs(picture.pixels[p] - grid.pixels[y * grid.width + x]);
  });
  const mean = differences.reduce((a, b) => a + b, 0) / 1024;
  assert(mean < 16, `the picture comes back with a mean difference of ${mean}/255`);
});

Deno.test("sample draws from the .onnx that convert wrote what it draws from the folder", async () => {
  await using folder = await temporaryFolder();
  const onnx = `${folder.path}/d.onnx`;
  assertEquals((await cli(["convert", "digits", onnx])).code, 0);
  const pictures = [];
  for (const weights of ["digits", onnx]) {
    const out = `${folder.path}/x.png`;
    const flags = ["--backend", "native", "--n", "4", "--out", out, "--force"];
    const { code, err } = await cli(["sample", "-w", weights, ...flags]);
    assertEquals(code, 0, err);
    assertStringIncludes(err, "dpmpp 20 steps");
    pictures.push(decodePng(await Deno.readFile(out)).pixels);
  }
  const [expected, found] = pictures;
  assert(expected.every((level, i) => Math.abs(level - found[i]) <= 1));
});

Deno.test("inspect says what an ONNX file is fed and made of", async () => {
  const path = new URL("./golden/onnx/fixed_batch.onnx", import.meta.url).href;
  const { code, out } = await cli(["inspect", path]);
  assertEquals(code, 0);
  assertStringIncludes(out, "input float32 [1, 3, 8, 12], timesteps int64 [1], y int64 [1]");
  assertStringIncludes(out, "not said: diffusers' defaults");
  const report = JSON.parse((await cli(["inspect", "--json", path])).out);
  assertEquals([report.producer, report.opset, report.picture], ["pytorch 1.13.0", 16, [3, 8, 12]]);
  assertEquals([report.classes.length, report.operators.Conv, report.scheduler], [5, 12, null]);
});

Deno.test("commands that need a network's tensors say so of an ONNX file in one line", async () => {
  await using folder = await temporaryFolder();
  const path = new URL("./golden/onnx/fixed_batch.onnx", import.meta.url).href;
  const out = `${folder.path}/out`;
  for (
    const args of [
      ["convert", path, `${out}.npz`],
      ["train", "--init", path, "--data", folder.path, "--out", out],
    ]
  ) {
    const { code, err } = await cli(args);
    assertEquals(code, 2);
    assertStringIncludes(err, "expected a network's config and tensors, found an ONNX graph");
    assertEquals(err.split("\n").length, 1, err);
  }
});
