/** PyTorch's files, which are read and not written. */
import { parseTorch } from "../../../files/torch/file.ts";
import type { TensorFormat } from "./format.ts";

export const torchFormat: TensorFormat = {
  read: async (bytes, where) => ({ tensors: await parseTorch(bytes, where), configs: new Map() }),
};
