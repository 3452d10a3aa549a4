/** What each key of config.json does to the network, as diffusers' UNet2DModel has it, read off the graph. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Graph, Value } from "../src/graph/mod.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";

const tiny = {
  sample_size: 8,
  block_out_channels: [8, 16],
  norm_num_groups: 4,
  layers_per_block: 1,
  attention_head_dim: null,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
};

const graphOf = (keys: Record<string, unknown> = {}) =>
  networkGraph(parseNetwork({ ...tiny, ...keys }, "config.json"));

/** The operation that a layer's weight goes into, by the layer's name in the file. */
function layer(graph: Graph, name: string): Value | undefined {
  const weight = graph.params.get(`${name}.weight`);
  return weight && graph.values.find(({ node }) => node.inputs[1] === weight);
}

function layers(graph: Graph, op: string): Map<string, Readonly<Record<string, unknown>>> {
  const names = [...graph.params.keys()].filter((name) => name.endsWith(".weight"))
    .map((name) => name.slice(0, -".weight".length));
  return new Map(
    names.flatMap((name) => {
      const node = layer(graph, name)?.node;
      return node?.op === op ? [[name, node.attributes] as const] : [];
    }),
  );
}

const middleNorm = "mid_block.attentions.0.group_norm";

Deno.test("norm_num_groups and norm_eps are those of every norm; attn_norm_num_groups the middle attention's", () => {
  const of = (keys: Record<string, unknown>) =>
    layers(graphOf({ ...keys, norm_eps: 1e-3 }), "groupNorm");
  const plain = of({});
  assert(plain.has(middleNorm) && plain.size > 10);
  for (const [name, { groups, eps }] of plain) assertEquals([groups, eps], [4, 1e-3], name);
  const other = of({ attn_norm_num_groups: 2 });
  assertEquals([...other.keys()], [...plain.keys()]);
  for (const [name, { groups }] of other) {
    assertEquals(groups, name === middleNorm ? 2 : 4, name);
  }
});

Deno.test("with scale_shift the middle attention has a norm only where its groups are given", () => {
  const has = (keys: Record<string, unknown>) =>
    layers(graphOf({ resnet_time_scale_shift: "scale_shift", ...keys }), "groupNorm");
  assertEquals(has({}).has(middleNorm), false);
  assertEquals(has({ attn_norm_num_groups: 2 }).get(middleNorm)?.groups, 2);
  assert(has({}).has("down_blocks.1.attentions.0.group_norm"), "other attention keeps its own");
});

Deno.test("the time embedding enters as a sum of C channels, or as scale and shift of 2C", () => {
  const width = (resnet_time_scale_shift: string) =>
    graphOf({ resnet_time_scale_shift }).params
      .get("down_blocks.1.resnets.0.time_emb_proj.weight")!.shape[0];
  assertEquals([width("default"), width("scale_shift")], [16, 32]);
});

Deno.test("downsample_padding 1 pads all round, 0 on the far side alone; other layers keep theirs", () => {
  for (const [downsample_padding, padding] of [[1, [1, 1, 1, 1]], [0, [0, 0, 1, 1]]] as const) {
    const convolutions = layers(graphOf({ downsample_padding }), "conv2d");
    const halving = convolutions.get("down_blocks.0.downsamplers.0.conv")!;
    assertEquals([halving.stride, halving.padding], [2, padding]);
    const others = [...convolutions].filter(([name]) => !name.includes("downsamplers"));
    for (const [name, { stride, padding }] of others) {
      const sides = name.endsWith("conv_shortcut") ? [0, 0, 0, 0] : [1, 1, 1, 1];
      assertEquals([stride, padding], [1, sides], name);
    }
  }
});

Deno.test("downsample_type and upsample_type: a block with attention halves and doubles as they say", () => {
  const keys = {
    down_block_types: ["AttnDownBlock2D", "DownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  };
  const samplers = (more: Record<string, unknown>) =>
    [...graphOf({ ...keys, ...more }).params.keys()]
      .filter((name) => /samplers\.0\.(conv|conv1)\.weight$/.test(name));
  assertEquals(samplers({}), [
    "down_blocks.0.downsamplers.0.conv.weight",
    "up_blocks.0.upsamplers.0.conv.weight",
  ]);
  assertEquals(samplers({ downsample_type: "resnet" }), [
    "down_blocks.0.downsamplers.0.conv1.weight",
    "up_blocks.0.upsamplers.0.conv.weight",
  ]);
  assertEquals(samplers({ upsample_type: "resnet" }), [
    "down_blocks.0.downsamplers.0.conv.weight",
    "up_blocks.0.upsamplers.0.conv1.weight",
  ]);
});

/** The factors of all multiplications by a number. */
function factors(graph: Graph): number[] {
  return graph.values.flatMap(({ node: { op, inputs } }) => {
    const data = inputs[1]?.node.attributes.data;
    return op === "mul" && inputs[1].shape.length === 0 && data instanceof Float32Array
      ? [data[0]]
      : [];
  });
}

Deno.test("attention_head_dim splits the channels and sets attention's scale, d^−½", () => {
  for (const [attention_head_dim, d] of [[null, 16], [8, 8], [4, 4], [16, 16]] as const) {
    const found = new Set(factors(graphOf({ attention_head_dim })));
    assertEquals(found.size, 1, `${[...found]}`);
    assertAlmostEquals([...found][0], d ** -0.5, 1e-7);
  }
});

Deno.test("heads that do not divide the channels leave some out, which the projection back makes good", () => {
  for (const [attention_head_dim, inner] of [[null, 16], [4, 16], [5, 15], [6, 12], [9, 9]]) {
    const { params } = graphOf({ attention_head_dim });
    const shape = (name: string) => params.get(`mid_block.attentions.0.${name}`)!.shape;
    for (const name of ["to_q", "to_k", "to_v"]) {
      assertEquals([shape(`${name}.weight`), shape(`${name}.bias`)], [[inner, 16], [inner]]);
    }
    assertEquals([shape("to_out.0.weight"), shape("to_out.0.bias")], [[16, inner], [16]]);
  }
});

Deno.test("mid_block_scale_factor divides the middle's three residual sums, and no other", () => {
  const halved = factors(graphOf({ mid_block_scale_factor: 2 })).filter((x) => x === 0.5);
  assertEquals(halved.length, 3);
  const without = factors(graphOf({ mid_block_scale_factor: 2, add_attention: false }));
  assertEquals(without.filter((x) => x === 0.5).length, 2);
});

Deno.test("layers_per_block: as many residual blocks down, one more up", () => {
  for (const layers_per_block of [1, 3]) {
    const names = [...graphOf({ layers_per_block }).params.keys()];
    const count = (block: string) =>
      names.filter((name) => name.startsWith(block) && name.endsWith("conv2.bias")).length;
    assertEquals(count("down_blocks.0.resnets"), layers_per_block);
    assertEquals(count("up_blocks.0.resnets"), layers_per_block + 1);
  }
});
