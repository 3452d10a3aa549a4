/** DDPM (Ho et al. 2020) under the model's own schedule: everything but the name is the default. */
import type { Scheduler } from "../src/diffusion/mod.ts";

const ddpm: Scheduler = {
  name: "ddpm",
  api: 1,
  description: "DDPM ancestral sampling under the model's own schedule",
};
export default ddpm;
