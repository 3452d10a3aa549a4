/** The golden network of classes, with what a test wants beside it. */
import type { WeightsCard } from "../src/weights/read/card.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { paramShapes, sizeOf } from "../src/graph/mod.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const FILE = "unet/diffusion_pytorch_model";

export interface TinyWeights {
  /** What the weights say of themselves. */
  readonly card?: WeightsCard;
  /** Whether they say how they were trained; without it they are read with a notice. */
  readonly schedule?: boolean;
  /** Weights of this variant beside the plain ones: every number doubled. */
  readonly variant?: string;
}

/** Makes a diffusers folder of a network that draws 12×12 in grey, and knows eleven classes. */
export async function tinyWeights(
  path: string,
  { card, schedule = true, variant }: TinyWeights = {},
): Promise<string> {
  const files = new Map<string, Uint8Array>();
  const copied = [
    "unet/config.json",
    `${FILE}.safetensors`,
    ...(schedule ? ["scheduler/scheduler_config.json"] : []),
  ];
  for (const name of copied) files.set(name, await Deno.readFile(new URL(name, golden)));
  if (variant !== undefined) {
    const { tensors } = parseSafetensors(
      files.get(`${FILE}.safetensors`)! as Uint8Array<ArrayBuffer>,
    );
    const doubled = [...tensors].map(([name, { shape, data }]) =>
      [name, { shape, data: data.map((x) => 2 * x) }] as const
    );
    files.set(`${FILE}.${variant}.safetensors`, writeSafetensors(new Map(doubled)));
  }
  if (card) {
    const index = await Deno.readTextFile(new URL("model_index.json", golden));
    const text = JSON.stringify({ ...JSON.parse(index), _denoise: card });
    files.set("model_index.json", new TextEncoder().encode(text));
  }
  for (const [name, bytes] of files) {
    await Deno.mkdir(`${path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeFile(`${path}/${name}`, bytes);
  }
  return path;
}

/** Makes a diffusers folder of the least network there is: one block without classes, all numbers 0. */
export async function emptyWeights(
  path: string,
  channels = 1,
  size: number | readonly [height: number, width: number] = 8,
): Promise<string> {
  const config = {
    ...{
      _class_name: "UNet2DModel",
      sample_size: size,
      in_channels: channels,
      out_channels: channels,
    },
    ...{ block_out_channels: [8], norm_num_groups: 4, layers_per_block: 1 },
    ...{ down_block_types: ["DownBlock2D"], up_block_types: ["UpBlock2D"] },
  };
  const shapes = [...paramShapes(networkGraph(parseNetwork(config)))];
  const tensors = new Map(
    shapes.map(([name, shape]) =>
      [name, { shape, data: new Float32Array(sizeOf(shape)) }] as const
    ),
  );
  await Deno.mkdir(path);
  await Deno.writeTextFile(`${path}/config.json`, JSON.stringify(config));
  const file = `${path}/diffusion_pytorch_model.safetensors`;
  await Deno.writeFile(file, writeSafetensors(tensors));
  return path;
}
