/** The built-in operators by name. @module */
import type { OperatorPlugin } from "../operator.ts";
import bicubic from "./bicubic.ts";
import mean from "./block_mean.ts";
import blur from "./blur.ts";
import motion from "./circular.ts";
import sensing from "./compressed_sensing.ts";
import denoising from "./denoising.ts";
import grey from "./grey.ts";
import inpainting from "./inpainting.ts";

/** Every built-in operator plug-in, by the name `--operator` takes. */
export const operators: Readonly<Record<string, OperatorPlugin>> = {
  inpainting,
  mean,
  bicubic,
  blur,
  motion,
  grey,
  denoising,
  sensing,
};
