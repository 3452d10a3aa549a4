/** Weights as safetensors; the configs, where there are any, in its metadata. */
import { parseSafetensors, writeSafetensors } from "../../../files/safetensors.ts";
import { configsIn, metadataOf, type TensorFormat } from "./format.ts";

export const safetensorsFormat: TensorFormat = {
  read(bytes, where) {
    const { tensors, metadata } = parseSafetensors(bytes, where);
    return { tensors, configs: configsIn(metadata) };
  },
  write: ({ tensors, configs }, dtype) =>
    writeSafetensors(tensors, { dtype, metadata: { format: "pt", ...metadataOf(configs) } }),
  halves: true,
};
