/** DDPM (Ho et al. 2020): ancestral sampling under the linear schedule. */
import { linearBetas, type Scheduler } from "../src/diffusion/mod.ts";

const linear: Scheduler = {
  name: "linear",
  api: 1,
  description: "DDPM ancestral sampling, β evenly spaced (Ho et al. 2020)",
  betas: (T, config) => linearBetas(T, config.beta_start, config.beta_end),
};
export default linear;
