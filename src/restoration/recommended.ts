/** Which sampler restores a measurement when nobody names one. */
import { type LinearOperator, type Measurement, missingShare } from "../diffusion/mod.ts";

export interface Recommended {
  readonly sampler: string;
  readonly steps: number;
  readonly options?: Readonly<Record<string, number>>;
}

/**
 * By the share of the picture that was not seen, as measured on the digits (README). Where y says
 * something of every part, steps at the highest levels are wasted and those at the lowest add nothing
 * but sharpness; a hole that is nowhere seen into needs them. DDNM keeps a part of its noise where the
 * data have none, and is DDRM where they have (means of 4×4, σ 0.1: 17.5 dB; DiffPIR 16.5 at 50 steps).
 */
export function recommendedRestorer({ operator, sigma_y }: Measurement): Recommended {
  const noisy = sigma_y > 0;
  if (missingShare(operator) < 0.5) return { sampler: "ddrm", steps: 20 };
  if (!seesEverywhere(operator)) return { sampler: noisy ? "ddrm" : "ddnm", steps: 100 };
  // Of data with noise the lowest levels bring the answer to them: without, it stays 1.4–2.8 σ_y away.
  return noisy
    ? { sampler: "ddrm", steps: 100, options: { start: 0.5 } }
    : { sampler: "ddnm", steps: 100, options: { start: 0.5, end: 0.1 } };
}

/** Parts of a picture each way, and the share of a part's mean that has to be seen. */
const PARTS = 4, LEAST_SEEN = 0.05;

/** Whether something is seen of the mean of every part: ‖P b‖² of its unit vector b, P = H⁺H. */
function seesEverywhere({ shape, s, Vt }: LinearOperator): boolean {
  const [, height, width] = shape;
  for (let part = 0; part < PARTS ** 2; part++) {
    const b = Float64Array.from(s, (_, i) => {
      const row = Math.floor(Math.floor(i / width) % height * PARTS / height);
      const column = Math.floor(i % width * PARTS / width);
      return row * PARTS + column === part ? 1 : 0;
    });
    const size = b.reduce((sum, v) => sum + v, 0);
    const seen = Vt(b).reduce((sum, c, i) => s[i] > 0 ? sum + c * c : sum, 0);
    if (seen < LEAST_SEEN * size) return false;
  }
  return true;
}
