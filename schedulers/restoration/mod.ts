/** The built-in samplers that restore pictures, by name. @module */
import type { Scheduler } from "../../src/diffusion/mod.ts";
import daps from "./daps.ts";
import ddnm from "./ddnm.ts";
import ddrm from "./ddrm.ts";
import diffpir from "./diffpir.ts";
import dps from "./dps.ts";
import pigdm from "./pigdm.ts";
import repaint from "./repaint.ts";
import sdedit from "./sdedit.ts";

/** Every built-in sampler that restores a measurement, by the name `--sampler` takes. */
export const restorers: Readonly<Record<string, Scheduler>> = {
  ddrm,
  ddnm,
  pigdm,
  dps,
  diffpir,
  daps,
  repaint,
  sdedit,
};
