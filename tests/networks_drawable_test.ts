/** Networks and pipelines that would be drawn wrongly are refused when they are loaded, by name. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError, shown } from "../src/errors.ts";
import { writeSafetensors } from "../src/files/safetensors.ts";
import { paramShapes, sizeOf } from "../src/graph/mod.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { networkFolders, parseNetwork } from "../src/networks/registry.ts";
import { filesOf } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";

const tiny = {
  _class_name: "UNet2DModel",
  sample_size: 8,
  in_channels: 3,
  out_channels: 3,
  block_out_channels: [8, 8],
  norm_num_groups: 4,
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "UpBlock2D"],
};

Deno.test("an output that is neither noise of the input nor noise and variance is refused by key", () => {
  for (const [in_channels, out_channels] of [[3, 1], [1, 3], [2, 5], [4, 3], [3, 9]]) {
    assertThrows(
      () => parseNetwork({ ...tiny, in_channels, out_channels }, "unet/config.json"),
      InputError,
      `unet/config.json: out_channels: expected in_channels, ${in_channels}, or twice as many with a learned variance (networks that are conditioned by concatenation are not read), found ${out_channels}`,
    );
  }
  for (const [in_channels, out_channels] of [[1, 1], [1, 2], [2, 2], [3, 6], [4, 8]]) {
    const { shape, outChannels } = parseNetwork({ ...tiny, in_channels, out_channels });
    assertEquals([shape[0], outChannels], [in_channels, out_channels]);
  }
});

Deno.test("more channels than a picture file holds are refused by key", () => {
  for (const channels of [5, 6, 256]) {
    const json = { ...tiny, in_channels: channels, out_channels: channels };
    assertThrows(
      () => parseNetwork(json),
      InputError,
      `in_channels: expected 1 (grey) to 4, which pictures have, found ${channels}`,
    );
  }
});

Deno.test("a network goes by its class, today's or its old name; without one it is the usual", () => {
  const names = ["UNet2DModel", "UNetUnconditionalModel", undefined];
  for (const _class_name of names) {
    const { architecture } = parseNetwork({ ...tiny, _class_name }, "x/config.json");
    assertEquals([architecture.className, networkFolders], ["UNet2DModel", ["unet"]]);
  }
  for (const _class_name of ["UNet2DConditionModel", "unet2dmodel", null, 3]) {
    assertThrows(
      () => parseNetwork({ ...tiny, _class_name }, "x/config.json"),
      InputError,
      `x/config.json: _class_name: expected one of UNet2DModel, found ${shown(_class_name)}`,
    );
    const { message } = assertThrows(() => parseNetwork({ ...tiny, _class_name }), InputError);
    assert(message.startsWith("config.json: _class_name"), message);
  }
});

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** A folder of the tiny network with numbers all alike. */
function folder(modelIndex: unknown, value = 0.01) {
  const shapes = paramShapes(networkGraph(parseNetwork(tiny)));
  const tensors = new Map(
    [...shapes].map(([name, shape]) => {
      return [name, { shape, data: new Float32Array(sizeOf(shape)).fill(value) }];
    }),
  );
  return filesOf({
    "model_index.json": json(modelIndex),
    "unet/config.json": json(tiny),
    "scheduler/scheduler_config.json": json({ _class_name: "DDPMScheduler" }),
    "unet/diffusion_pytorch_model.safetensors": writeSafetensors(tensors),
  });
}

const pixels = {
  _class_name: "DDPMPipeline",
  unet: ["diffusers", "UNet2DModel"],
  scheduler: ["diffusers", "DDPMScheduler"],
};

Deno.test("a pipeline with a decoder draws latents, and is refused by the decoder's name", async () => {
  const decoders: Record<string, readonly string[]> = {
    vqvae: ["diffusers", "VQModel"],
    vae: ["diffusers", "AutoencoderKL"],
    movq: ["diffusers", "VQModel"],
    first_stage: ["diffusers", "AutoencoderTiny"],
  };
  for (const [part, value] of Object.entries(decoders)) {
    await assertRejects(
      () => readFolder(folder({ ...pixels, [part]: value })),
      InputError,
      `model_index.json: ${part} is ${value[1]}: the network makes latents`,
    );
  }
  // diffusers writes parts that were left out as null.
  await readFolder(folder({ ...pixels, vae: [null, null], mel: ["audio_diffusion", "Mel"] }));
});

Deno.test("weights that are not finite are refused by tensor", async () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    const error = await assertRejects(
      () => readFolder(folder(pixels, value)),
      InputError,
      "not finite",
    ) as Error;
    assert(/"time_embedding\.linear_1\.weight".* and \d+ more/.test(error.message), error.message);
  }
  await readFolder(folder(pixels, 3e38));
});
