/** DDPM under the cosine schedule (Nichol & Dhariwal 2021). */
import { cosineBetas, type Scheduler } from "../src/diffusion/mod.ts";

const cosine: Scheduler = {
  name: "cosine",
  api: 1,
  description: "DDPM ancestral sampling, cosine schedule (Nichol & Dhariwal 2021)",
  betas: cosineBetas,
};
export default cosine;
