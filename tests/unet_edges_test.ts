/** A U-Net's config, names and beginnings at their edges. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { Graph, paramShapes } from "../src/graph/mod.ts";
import { networkGraph, networkInputs, networkVjpGraph } from "../src/networks/architecture.ts";
import { matchShapes, matchTensors } from "../src/networks/match_tensors.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { parseUNetConfig, unetJson } from "../src/networks/unet2d/config.ts";
import { unet2d } from "../src/networks/unet2d/mod.ts";
import { currentName } from "../src/networks/unet2d/names.ts";

const tiny = {
  sample_size: 8,
  block_out_channels: [8, 16],
  norm_num_groups: 4,
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
};
const refused = (change: Record<string, unknown>, says: string) =>
  assertThrows(() => parseUNetConfig({ ...tiny, ...change }), InputError, says);

Deno.test("a size is one number or two, and each can be halved as often as there are levels", () => {
  const size = (sample_size: unknown) => parseUNetConfig({ ...tiny, sample_size }).sample_size;
  assertEquals([size(8), size([4, 6])], [[8, 8], [4, 6]]);
  for (const wrong of [[8], [8, 8, 8], [8, 0], [8, "8"], 0, 8.5, "8", null]) {
    refused({ sample_size: wrong }, "sample_size: expected a whole number, or [height, width]");
  }
  for (const [height, width] of [[9, 8], [8, 9]]) {
    refused(
      { sample_size: [height, width] },
      `sample_size ${height}×${width} cannot be halved 1 times; 2 blocks need multiples of 2`,
    );
  }
});

Deno.test("each list of blocks has as many as there are channels", () => {
  for (const key of ["down_block_types", "up_block_types"]) {
    const kind = key === "down_block_types" ? "DownBlock2D" : "UpBlock2D";
    for (const count of [1, 3]) {
      refused(
        { [key]: Array(count).fill(kind) },
        `${key}: expected 2 blocks, as many as block_out_channels, found ${count}`,
      );
    }
  }
});

Deno.test("whatever is refused is refused under the name of the file that says it", () => {
  const wrong: Record<string, unknown>[] = [
    { _class_name: "Other" },
    { act_fn: "mish" },
    { sample_size: "8" },
    { in_channels: 0 },
    { flip_sin_to_cos: "yes" },
    { down_block_types: "DownBlock2D" },
    { up_block_types: ["Other", "UpBlock2D"] },
    { up_block_types: ["UpBlock2D"] },
    { sample_size: 9 },
    { norm_num_groups: 3 },
    { attention_head_dim: 17 },
    { dual: 1 },
  ];
  for (const json of [null, [], ...wrong.map((change) => ({ ...tiny, ...change }))]) {
    const { message } = assertThrows(() => parseUNetConfig(json, "mine/config.json"), InputError);
    assert(message.startsWith("mine/config.json: "), message);
    const bare = assertThrows(() => parseUNetConfig(json), InputError).message;
    assertEquals(bare, message.replace("mine/", "unet/"));
    const network = () => parseNetwork(json, "mine/config.json");
    assert(assertThrows(network, InputError).message.startsWith("mine/config.json: "));
  }
});

Deno.test("blocks are a list, each of a kind there is", () => {
  for (const key of ["down_block_types", "up_block_types"]) {
    for (const value of ["DownBlock2D", 2, {}]) {
      refused({ [key]: value }, `${key}: expected a list of block types, found`);
    }
  }
  const kinds = "one of DownBlock2D, AttnDownBlock2D, ResnetDownsampleBlock2D";
  refused(
    { down_block_types: ["UpBlock2D", "DownBlock2D"] },
    `down_block_types: expected ${kinds}`,
  );
  refused(
    { up_block_types: ["UpBlock2D", 3] },
    "up_block_types: expected one of UpBlock2D, AttnUp",
  );
});

Deno.test("every level's channels are split evenly, and into no wider heads than they are", () => {
  refused({ norm_num_groups: 16 }, "norm_num_groups 16 does not divide block_out_channels 8");
  refused(
    { block_out_channels: [8, 12], norm_num_groups: 8 },
    "does not divide block_out_channels 12",
  );
  const heads = (attention_head_dim: number, change: Record<string, unknown> = {}) => ({
    ...change,
    attention_head_dim,
  });
  const wide = parseUNetConfig({ ...tiny, ...heads(16) });
  assertEquals([wide.attention_head_dim, wide.block_out_channels], [16, [8, 16]]);
  refused(heads(17), "attention_head_dim 17 is more than the 16 channels it should split");
  // The first level has no attention, the middle has that of the last.
  const none = {
    down_block_types: ["DownBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "UpBlock2D"],
  };
  refused(heads(17, none), "more than the 16 channels");
  parseUNetConfig({ ...tiny, ...heads(17, { ...none, add_attention: false }) });
  refused(
    heads(9, { down_block_types: ["AttnDownBlock2D", "DownBlock2D"] }),
    "more than the 8 channels",
  );
  refused(heads(9, { up_block_types: ["UpBlock2D", "AttnUpBlock2D"] }), "more than the 8 channels");
});

Deno.test("keys that say nothing are passed over, others that are not known are refused", () => {
  assertEquals(
    parseUNetConfig({ ...tiny, dual: null, _name: "x", num_train_timesteps: 1000 }),
    parseUNetConfig(tiny),
  );
  refused(
    { dual: false },
    "unknown key dual with value false; this U-Net has no such setting, so its pictures would be wrong",
  );
  refused({ class_embed_type: "identity" }, 'class_embed_type: expected null, found "identity"');
  const positional = 'time_embedding_type: expected positional, found "fourier"';
  refused({ time_embedding_type: "fourier" }, positional);
  refused({ act_fn: "mish" }, 'act_fn: expected one of silu, swish, found "mish"');
});

Deno.test("a config is written as it is read, oblong, without a middle, with classes", () => {
  for (
    const change of [
      {},
      { sample_size: [4, 8] },
      { mid_block_type: null },
      { num_class_embeds: 5, attention_head_dim: null },
      { resnet_time_scale_shift: "scale_shift", downsample_padding: 0, add_attention: false },
    ]
  ) {
    const config = parseUNetConfig({ ...tiny, ...change });
    const json = unetJson(config);
    assertEquals(parseUNetConfig(json), config, JSON.stringify(change));
    assertEquals("mid_block_type" in json, "mid_block_type" in change);
  }
  // What diffusers looks at before it reads the rest.
  const { _class_name, _diffusers_version, act_fn, sample_size } = unetJson(parseUNetConfig(tiny));
  assertEquals([_class_name, _diffusers_version, act_fn, sample_size], [
    "UNet2DModel",
    "0.30.0",
    "silu",
    8,
  ]);
  const oblong = unetJson(parseUNetConfig({ ...tiny, sample_size: [4, 8] }));
  assertEquals(oblong.sample_size, [4, 8]);
  const { blocks } = parseNetwork({ ...tiny, mid_block_type: null });
  assertEquals(blocks, [...tiny.down_block_types, ...tiny.up_block_types]);
  assertEquals(parseNetwork(tiny).blocks.length, 5);
});

Deno.test("a network's definition tells what its config says", () => {
  const config = { sample_size: [4, 8], in_channels: 2, out_channels: 4, dropout: 0.25 };
  const network = parseNetwork({ ...tiny, ...config, num_class_embeds: 5 });
  const { architecture, shape, outChannels, classes, dropout, blocks } = network;
  assert(architecture === unet2d);
  assertEquals([shape, outChannels, classes, dropout], [[2, 4, 8], 4, 5, 0.25]);
  const { down_block_types, up_block_types } = tiny;
  assertEquals(blocks, [...down_block_types, "UNetMidBlock2D", ...up_block_types]);
  assertEquals([parseNetwork(tiny).classes, parseNetwork(tiny).dropout], [null, 0]);
  const { className, oldClassNames, folder, classTable } = unet2d;
  assertEquals(className, network.json()._class_name);
  assertEquals([oldClassNames, folder], [["UNetUnconditionalModel"], "unet"]);
  assert(networkGraph(network).params.has(classTable!));
});

Deno.test("numbers of channels and layers are whole, from 1 to 65536", () => {
  const counts = ["in_channels", "out_channels", "layers_per_block", "norm_num_groups"];
  counts.push("attention_head_dim", "attn_norm_num_groups", "num_class_embeds");
  for (const key of counts) {
    for (const value of [0, -1, 1.5, 65_537, "8"]) refused({ [key]: value }, `${key}: expected`);
  }
  for (const value of [0, 65_537]) {
    refused({ block_out_channels: [8, value] }, "block_out_channels: expected");
    refused({ sample_size: [8, value] }, "sample_size: expected");
  }
  refused({ time_embedding_dim: 65_537 }, "time_embedding_dim: expected");
  refused({ time_embedding_dim: -1 }, "time_embedding_dim: expected");
  const most = parseUNetConfig({ ...tiny, num_class_embeds: 65_536, time_embedding_dim: 65_536 });
  assertEquals([most.num_class_embeds, most.time_embedding_dim], [65_536, 65_536]);
});

Deno.test("old names are today's; what only repeats another tensor has none", () => {
  const names: [old: string, now: string | undefined][] = [
    ["mid.resnets.0.conv1.weight", "mid_block.resnets.0.conv1.weight"],
    ["downsample_blocks.1.attentions.0.key.bias", "down_blocks.1.attentions.0.to_k.bias"],
    ["up_blocks.0.attentions.2.value.weight", "up_blocks.0.attentions.2.to_v.weight"],
    ["mid_block.attentions.0.proj_attn.weight", "mid_block.attentions.0.to_out.0.weight"],
    ["down_blocks.0.downsamplers.0.op.weight", undefined],
    ["down_blocks.0.downsamplers.0.Conv2d_0.bias", undefined],
    ["down_blocks.0.downsamplers.0.conv.weight", "down_blocks.0.downsamplers.0.conv.weight"],
    ["conv_in.weight", "conv_in.weight"],
  ];
  for (const [old, now] of names) assertEquals(currentName(old), now, old);
});

Deno.test("a residual branch begins at nothing, a class's row at random, the rest by its shape", () => {
  const shapes = paramShapes(networkGraph(parseNetwork({ ...tiny, num_class_embeds: 3 })));
  const begins = (wanted: string | undefined) =>
    [...shapes.keys()].filter((name) => unet2d.initialiser!(name) === wanted);
  const zeros = begins("zeros");
  assert(
    zeros.includes("conv_out.weight") && zeros.includes("mid_block.attentions.0.to_out.0.weight"),
  );
  for (const name of zeros) assert(/(conv2|to_out\.0|conv_out)\.weight$/.test(name), name);
  assertEquals(zeros.filter((name) => name.endsWith("conv2.weight")).length, 2 + 2 + 4);
  assertEquals(begins("normal"), ["class_embedding.weight"]);
  assertEquals(zeros.length + 1 + begins(undefined).length, shapes.size);
});

Deno.test("a network with classes is asked about classes", () => {
  const network = parseNetwork({ ...tiny, num_class_embeds: 3 });
  const graph = new Graph();
  const inputs = networkInputs(graph, network, "N");
  assertEquals([...graph.inputs.keys()], ["sample", "timestep", "class_labels"]);
  const { sample, timestep } = inputs;
  assertThrows(() => network.build(graph, { sample, timestep }), Error, "needs class labels");
  const shared = new Graph();
  networkInputs(shared, network, 2, undefined, true);
  assertEquals(shared.inputs.get("class_weights")!.shape, [2, 3]);
  const vjp = networkVjpGraph(network);
  assertEquals([...vjp.outputs.keys()], ["gradient"]);
  assertEquals([vjp.inputs.get("u")!.shape, vjp.outputs.get("gradient")!.shape], [["N", 3, 8, 8], [
    "N",
    3,
    8,
    8,
  ]]);
});

Deno.test("shapes are matched exactly, but for attention's weights as 1×1 convolutions", () => {
  const fits = (stored: number[], shape: number[]) => {
    const data = new Float32Array(stored.reduce((a, b) => a * b, 1));
    const match = () =>
      matchShapes(new Map([["w", shape]]), new Map([["w", { shape: stored, data }]]), "file");
    try {
      return match().size === 1;
    } catch (error) {
      assert(
        error instanceof InputError &&
          error.message.includes(`shape [${stored}], the config asks for [${shape}]`),
      );
      return false;
    }
  };
  assertEquals(
    [fits([2, 3], [2, 3]), fits([2, 3, 1, 1], [2, 3]), fits([2, 3, 1, 1], [2, 3, 1, 1])],
    [true, true, true],
  );
  for (
    const [stored, shape] of [
      [[3, 2], [2, 3]],
      [[2, 4], [2, 3]],
      [[4, 3], [2, 3]],
      [[2, 4, 1, 1], [2, 3]],
      [[2], [2, 3]],
      [[2, 3], [2]],
      [[2, 3, 1], [2, 3]],
      [[2, 3, 1, 3], [2, 3]],
      [[2, 3, 3, 1], [2, 3]],
      [[2, 3], [2, 3, 1, 1]],
    ]
  ) assertEquals(fits(stored, shape), false, `${stored} for ${shape}`);
  const none = () => matchTensors(new Map([["a", [1]], ["b", [1]]]), new Map(), "file");
  assertThrows(none, InputError, '2 of 2 tensors that the config asks for are missing: "a", "b"');
});

Deno.test("a training recipe's keys are a config for its pictures, and come back from it", () => {
  const keys = {
    block_out_channels: [8, 16],
    attention: [false, true],
    layers_per_block: 3,
    norm_num_groups: 4,
    attention_head_dim: 8,
  };
  const { json, keys: keysOf } = unet2d.training;
  const config = {
    sample_size: [4, 8],
    in_channels: 2,
    out_channels: 2,
    block_out_channels: [8, 16],
    down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
    layers_per_block: 3,
    norm_num_groups: 4,
    attention_head_dim: 8,
    num_class_embeds: 5,
  };
  assertEquals(json(keys, [2, 4, 8], 5), config);
  assertEquals(json(keys, [1, 8, 8], null).sample_size, 8);
  assertEquals(json(keys, [1, 8, 8], null).num_class_embeds, null);
  assertEquals(keysOf(parseNetwork(config)), keys);
  assertEquals(keysOf(parseNetwork({ ...config, attention_head_dim: null })), {
    ...keys,
    attention_head_dim: null,
  });
});

Deno.test("what a recipe may choose of a U-Net has its bounds, both allowed", () => {
  const { fields } = unet2d.training;
  const takes = (key: string, value: unknown) => fields[key].type.accepts(value);
  const most = { block_out_channels: 4096, layers_per_block: 16, norm_num_groups: 4096 };
  for (const [key, last] of Object.entries({ ...most, attention_head_dim: 4096 })) {
    const of = (value: unknown) => takes(key, key === "block_out_channels" ? [8, value] : value);
    assertEquals([0, 1, last, last + 1, 1.5, "1"].map(of), [
      false,
      true,
      true,
      false,
      false,
      false,
    ]);
    assertEquals(of(null), key === "attention_head_dim", key);
  }
  const lists: unknown[] = [[true, false], [true, 1], true];
  assertEquals(lists.map((value) => takes("attention", value)), [true, false, false]);
});
