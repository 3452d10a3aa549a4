/** Damaged weights are refused, or make a network that runs: never a crash, a hang or a read beyond. */
import { assert, assertEquals } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { InputError } from "../src/errors.ts";
import { writeSafetensors } from "../src/files/safetensors.ts";
import { paramShapes } from "../src/graph/mod.ts";
import { load } from "../src/model/load.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { filesOf } from "../src/weights/files.ts";
import { ramp } from "./backend_models.ts";
import { mutations } from "./mutations.ts";

const config = {
  _class_name: "UNet2DModel",
  sample_size: 8,
  in_channels: 1,
  out_channels: 1,
  layers_per_block: 1,
  block_out_channels: [8],
  down_block_types: ["AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D"],
  norm_num_groups: 4,
  attention_head_dim: 4,
  num_class_embeds: 3,
};
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const tensors = new Map(
  [...paramShapes(networkGraph(parseNetwork(config)))].map(([name, shape], i) => [
    name,
    { shape, data: ramp(shape.reduce((a, b) => a * b, 1), i + 1) },
  ]),
);
const whole = writeSafetensors(tensors);
const scheduler = text({ _class_name: "DDIMScheduler", num_train_timesteps: 1000 });

/** Whether the network was refused, and otherwise what it made of a picture. */
async function tried(configJson: Uint8Array, weights: Uint8Array): Promise<Float32Array | string> {
  const files = filesOf({
    "unet/config.json": configJson,
    "unet/diffusion_pytorch_model.safetensors": weights,
    "scheduler/scheduler_config.json": scheduler,
  });
  try {
    await using model = await load(files, { backend: simdInline() });
    const size = model.shape.reduce((a, b) => a * b);
    return await model.predict(ramp(size), Float32Array.of(7), model.labels && Int32Array.of(0));
  } catch (error) {
    assert(error instanceof InputError, `${(error as Error).stack}`);
    return error.message;
  }
}

Deno.test("the undamaged weights run", async () => {
  assertEquals((await tried(text(config), whole)).length, 64);
});

Deno.test("1,000 damaged weight files are refused or run", async () => {
  const found = { refused: 0, ran: 0 };
  for (const file of mutations(whole, 1000, 11)) {
    const result = await tried(text(config), file);
    if (typeof result === "string") found.refused++;
    else {
      assertEquals(result.length, 64);
      found.ran++;
    }
  }
  assert(found.refused > 100 && found.ran > 100, JSON.stringify(found));
});

Deno.test("300 damaged configs are refused or run", async () => {
  for (const file of mutations(text(config), 300, 12)) await tried(file, whole);
});
