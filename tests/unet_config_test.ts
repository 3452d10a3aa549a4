import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { InputError } from "../src/errors.ts";
import { openModel } from "../src/model/model.ts";
import cifar10 from "./configs/ddpm-cifar10-32.json" with { type: "json" };
import { networkGraph } from "../src/networks/architecture.ts";
import { matchTensors } from "../src/networks/match_tensors.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { parseUNetConfig } from "../src/networks/unet2d/config.ts";
import { currentName } from "../src/networks/unet2d/names.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { ramp } from "./backend_models.ts";

/** google/ddpm-celebahq-256's shape. */
const celebahq = {
  ...cifar10,
  block_out_channels: [128, 128, 256, 256, 512, 512],
  down_block_types: [
    "DownBlock2D",
    "DownBlock2D",
    "DownBlock2D",
    "DownBlock2D",
    "AttnDownBlock2D",
    "DownBlock2D",
  ],
  up_block_types: [
    "UpBlock2D",
    "AttnUpBlock2D",
    "UpBlock2D",
    "UpBlock2D",
    "UpBlock2D",
    "UpBlock2D",
  ],
  sample_size: 256,
};

const tiny = {
  sample_size: 8,
  block_out_channels: [8, 8],
  norm_num_groups: 4,
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
};

function parameters(json: unknown) {
  const graph = networkGraph(parseNetwork(json, "config.json"));
  const sizes = [...graph.params.values()].map((v) =>
    (v.shape as number[]).reduce((a, b) => a * b, 1)
  );
  return { tensors: sizes.length, parameters: sizes.reduce((a, b) => a + b, 0), graph };
}

Deno.test("google's DDPM configs give the tensors and parameters that their files have", () => {
  const { tensors, parameters: count } = parameters(cifar10);
  assertEquals({ tensors, count }, { tensors: 328, count: 35_746_307 });
  const celeba = parameters(celebahq);
  assertEquals([celeba.tensors, celeba.parameters], [450, 113_673_219]);
});

Deno.test("missing keys take the class' defaults", () => {
  // UNet2DModel.__init__'s.
  assertEquals(parseUNetConfig({ sample_size: 64 }), {
    sample_size: [64, 64],
    in_channels: 3,
    out_channels: 3,
    center_input_sample: false,
    time_embedding_dim: 4 * 224,
    freq_shift: 0,
    flip_sin_to_cos: true,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    mid_block_type: "UNetMidBlock2D",
    up_block_types: ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    block_out_channels: [224, 448, 672, 896],
    layers_per_block: 2,
    mid_block_scale_factor: 1,
    downsample_padding: 1,
    downsample_type: "conv",
    upsample_type: "conv",
    dropout: 0,
    attention_head_dim: 8,
    norm_num_groups: 32,
    attn_norm_num_groups: null,
    norm_eps: 1e-5,
    resnet_time_scale_shift: "default",
    add_attention: true,
    num_class_embeds: null,
  });
});

Deno.test("keys and blocks of the first diffusers versions are understood", () => {
  const old = parseUNetConfig({
    _class_name: "UNetUnconditionalModel",
    image_size: 32,
    num_res_blocks: 3,
    block_channels: [32, 64],
    down_blocks: ["UNetResDownBlock2D", "UNetResAttnDownBlock2D"],
    up_blocks: ["UNetResAttnUpBlock2D", "UNetResUpBlock2D"],
    downscale_freq_shift: 1,
    resnet_num_groups: 16,
    resnet_act_fn: "silu",
    resnet_eps: 1e-6,
    num_head_channels: 64,
  });
  const today = parseUNetConfig({
    sample_size: 32,
    layers_per_block: 3,
    block_out_channels: [32, 64],
    down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
    freq_shift: 1,
    norm_num_groups: 16,
    norm_eps: 1e-6,
    attention_head_dim: 64,
  });
  assertEquals(old, today);
  assertEquals([today.freq_shift, today.norm_num_groups], [1, 16]);
  assertEquals(currentName("mid.attentions.0.query.weight"), "mid_block.attentions.0.to_q.weight");
  assertEquals(
    currentName("upsample_blocks.1.attentions.0.proj_attn.bias"),
    "up_blocks.1.attentions.0.to_out.0.bias",
  );
  assertEquals(currentName("downsample_blocks.0.downsamplers.0.op.weight"), undefined);
});

const refusals: [string, Record<string, unknown>, string[]][] = [
  ["another class", { _class_name: "UNet2DConditionModel" }, ["_class_name"]],
  ["a block of another kind", { down_block_types: ["SkipDownBlock2D"] }, [
    "down_block_types",
    "SkipDownBlock2D",
  ]],
  ["Fourier embeddings", { time_embedding_type: "fourier" }, ["time_embedding_type", "fourier"]],
  ["class embeddings by timestep", { class_embed_type: "timestep" }, ["class_embed_type"]],
  ["another activation", { act_fn: "mish" }, ["act_fn", "mish"]],
  ["a scale shift it does not have", { resnet_time_scale_shift: "spatial" }, [
    "resnet_time_scale_shift",
    "spatial",
  ]],
  ["a padding it does not have", { downsample_padding: 2 }, ["downsample_padding", "2"]],
  ["a key it does not know", { dual_attention: true }, ["dual_attention", "true"]],
  ["groups that do not divide the channels", { norm_num_groups: 3 }, ["norm_num_groups", "3"]],
  ["sizes that cannot be halved", { sample_size: [9, 8] }, ["sample_size", "9×8"]],
  ["a missing size", { sample_size: null }, ["sample_size"]],
  ["lists that do not match", { block_out_channels: [8] }, ["down_block_types", "2"]],
  ["a size that is no number", { layers_per_block: "2" }, ["layers_per_block", '"2"']],
  ["heads wider than the channels", { attention_head_dim: 16 }, ["attention_head_dim", "16"]],
];
for (const [what, change, mentions] of refusals) {
  Deno.test(`a config with ${what} is refused by name`, () => {
    const error = assertThrows(() => parseUNetConfig({ ...tiny, ...change }), InputError);
    for (const word of mentions) assert(error.message.includes(word), error.message);
  });
}

Deno.test("a config that is no object is refused", () => {
  for (const json of [null, [], "x", 3]) {
    for (const parse of [parseUNetConfig, parseNetwork]) {
      assertThrows(() => parse(json), InputError);
    }
  }
});

Deno.test("tensors must be all there, fit, and belong", () => {
  const expected = new Map([["a.weight", [2, 2]], ["a.bias", [2]]]);
  const weight = { shape: [2, 2], data: new Float32Array(4) };
  const bias = { shape: [2], data: new Float32Array(2) };
  const match = (entries: [string, { shape: number[]; data: Float32Array }][]) => () =>
    matchTensors(expected, new Map(entries), "file");

  assertEquals(match([["a.weight", weight], ["a.bias", bias]])().size, 2);
  const renamed = (name: string) => name.replace("old.", "a.");
  const twice = new Map([["a.weight", weight], ["a.bias", bias], ["old.bias", bias]]);
  assertThrows(
    () => matchTensors(expected, twice, "file", renamed),
    InputError,
    'file: "a.bias" is there twice, under an old and a new name',
  );
  const says = (entries: [string, typeof weight][], message: string) =>
    assertEquals(assertThrows(match(entries), InputError).message, message);
  const missing = "tensors that the config asks for are missing";
  says([["a.weight", weight]], `file: 1 of 2 ${missing}: "a.bias"`);
  const bad = { shape: [1], data: Float32Array.of(NaN) };
  for (const names of [["b"], ["b", "c"]]) {
    const others = names.map((name) => `"${name}"`).join(", ");
    says(
      names.map((name) => [name, bad]),
      `file: 2 of 2 ${missing}: "a.weight", "a.bias"; the file has others: ${others}`,
    );
  }
  says(
    [["a.weight", weight], ["b", bad], ["a.bias", bias], ["c", bad]],
    'file: 2 tensors are not in the network the config describes: "b", "c"',
  );
  const nan = { shape: [2], data: Float32Array.of(0, NaN) };
  says(
    [["a.weight", weight], ["a.bias", nan]],
    'file: numbers of 1 tensors are not finite (NaN or infinite): "a.bias"; the training diverged, or the file was written in too few bits',
  );
  // What only repeats another tensor is looked at no further.
  const left = (name: string) => name === "b" ? undefined : name;
  const repeated = new Map([["b", bad], ["a.weight", weight], ["a.bias", bias]]);
  assertEquals([...matchTensors(expected, repeated, "file", left).keys()], ["a.weight", "a.bias"]);
  assertThrows(
    match([["a.weight", weight], ["a.bias", { shape: [3], data: new Float32Array(3) }]]),
    InputError,
    "[3]",
  );
  assertThrows(
    match([["a.weight", weight], ["a.bias", bias], ["b.bias", bias]]),
    InputError,
    '"b.bias"',
  );
});

Deno.test("attention weights that lie as 1×1 convolutions are squeezed", () => {
  const expected = new Map([["attentions.0.to_q.weight", [2, 2]]]);
  const stored = new Map([
    ["attentions.0.to_q.weight", { shape: [2, 2, 1, 1], data: Float32Array.of(1, 2, 3, 4) }],
  ]);
  assertEquals(
    [...matchTensors(expected, stored, "file").values()],
    [Float32Array.of(1, 2, 3, 4)],
  );
});

Deno.test("a flag that is null is false, as in diffusers, whatever a missing one is", () => {
  const json = { ...tiny, flip_sin_to_cos: null, add_attention: null, center_input_sample: null };
  const { flip_sin_to_cos, add_attention, center_input_sample } = parseUNetConfig(json);
  assertEquals([flip_sin_to_cos, add_attention, center_input_sample], [false, false, false]);
  const defaults = parseUNetConfig(tiny);
  assertEquals([defaults.flip_sin_to_cos, defaults.add_attention], [true, true]);
});

Deno.test("what diffusers takes for the same is the same", () => {
  const expected = parseUNetConfig(tiny);
  for (const act_fn of ["SiLU", "swish", "Swish"]) {
    assertEquals(parseUNetConfig({ ...tiny, act_fn }), expected);
  }
  assertEquals(parseUNetConfig({ ...tiny, time_embedding_dim: 0 }), expected);
  assertEquals(parseUNetConfig({ ...tiny, mid_block_type: "AnyMidBlock" }), expected);
  assertEquals(parseUNetConfig({ ...tiny, mid_block_type: null }).mid_block_type, null);
});

Deno.test("center_input_sample: pictures of 0 … 1 are what the network knows as −1 … 1", async () => {
  const folder = await readFolder(filesAt(new URL("./golden/learned_range/", import.meta.url)));
  const json = { ...folder.network.json(), center_input_sample: true };
  const backend = simdInline();
  const plain = await openModel(folder, backend);
  const centred = await openModel({ ...folder, network: parseNetwork(json, "centred") }, backend);
  const x = ramp(folder.network.shape.reduce((a, b) => a * b)), t = Float32Array.of(300);
  const expected = await plain.predict(x.map((v) => 2 * v - 1), t);
  const found = await centred.predict(x, t);
  found.forEach((v, i) => assertAlmostEquals(v, expected[i], 1e-4));
  await plain.close();
  await centred.close();
});
