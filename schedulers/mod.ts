/** The built-in plug-ins by name. @module */
import type { Scheduler } from "../src/diffusion/mod.ts";
import cosine from "./cosine.ts";
import ddim from "./ddim.ts";
import ddpm from "./ddpm.ts";
import dpmpp from "./dpmpp.ts";
import heun from "./heun.ts";
import ipndm from "./ipndm.ts";
import linear from "./linear.ts";
import unipc from "./unipc.ts";

/** Every built-in scheduler plug-in, by the name `--scheduler` takes. */
export const schedulers: Readonly<Record<string, Scheduler>> = {
  linear,
  cosine,
  ddpm,
  ddim,
  dpmpp,
  ipndm,
  unipc,
  heun,
};
