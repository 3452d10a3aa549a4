/** Which sampler restores a measurement when nobody names one. */
import { type Measurement, missingShare } from "../diffusion/mod.ts";

export interface Recommended {
  readonly sampler: string;
  readonly steps: number;
  readonly options?: Readonly<Record<string, number>>;
}

/** By the share of the picture that was not seen, as measured on the digits (README). */
export function recommendedRestorer({ operator, sigma_y }: Measurement): Recommended {
  const sampler = sigma_y > 0 ? "ddrm" : "ddnm";
  return { sampler, steps: missingShare(operator) < 0.5 ? 20 : 100 };
}
