/** diffusers' `UNet2DModel`: its config, its tensors' names, and the network itself. */
import type { Architecture, NetworkDefinition } from "../architecture.ts";
import { parseUNetConfig, type UNetConfig, unetJson } from "./config.ts";
import { currentName } from "./names.ts";
import {
  checkTrainingKeys,
  configForTraining,
  trainingFields,
  trainingKeysOf,
} from "./training.ts";
import { buildUNet } from "./unet.ts";

/** The last layer of every residual branch, and of the network: at first each adds nothing. */
const residualEnd = /(^|\.)(conv2|to_out\.0|conv_out)\.weight$/;

export const unet2d: Architecture = {
  className: "UNet2DModel",
  oldClassNames: ["UNetUnconditionalModel"],
  folder: "unet",
  parse: (json, where) => unetDefinition(parseUNetConfig(json, where)),
  currentName,
  classTable: "class_embedding.weight",
  initialiser(name) {
    if (residualEnd.test(name)) return "zeros";
    return name.endsWith("embedding.weight") ? "normal" : undefined;
  },
  training: {
    fields: trainingFields,
    check: checkTrainingKeys,
    json: configForTraining,
    keys: (network) => ({ ...trainingKeysOf(network.json()) }),
  },
};

function unetDefinition(config: UNetConfig): NetworkDefinition {
  const { down_block_types, mid_block_type, up_block_types } = config;
  return {
    architecture: unet2d,
    shape: [config.in_channels, ...config.sample_size],
    outChannels: config.out_channels,
    classes: config.num_class_embeds,
    dropout: config.dropout,
    blocks: [...down_block_types, ...(mid_block_type ? [mid_block_type] : []), ...up_block_types],
    json: () => unetJson(config),
    build: (graph, inputs, dropout) => buildUNet(graph, config, inputs, dropout),
  };
}
