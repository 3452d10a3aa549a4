/** Interpolation between starting noises (slerp), and DDIM inversion from a picture to its noise. */
import { combine } from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import type { Conditioning } from "../recipe/conditioning.ts";
import { checkTaughtTimesteps } from "./distilled.ts";
import { denoiserOf } from "./denoiser.ts";
import type { Network } from "../model/network.ts";
import { type PlanRequest, planRun } from "./plan.ts";

/**
 * The point a share of the way from a to b along the arc between them (Shoemake 1985). A straight
 * line would pass through shorter vectors than a network has ever seen as noise.
 */
export function slerp(a: Float32Array, b: Float32Array, share: number): Float32Array {
  const dot = (u: Float32Array, v: Float32Array) => u.reduce((sum, x, i) => sum + x * v[i], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (angle < 1e-6) return combine([1 - share, a], [share, b]);
  return combine(
    [Math.sin((1 - share) * angle) / Math.sin(angle), a],
    [Math.sin(share * angle) / Math.sin(angle), b],
  );
}

/** How a picture is taken back to its noise. */
export interface InvertRequest extends PlanRequest, Conditioning {
  /** Stops before the next step. */
  readonly signal?: AbortSignal;
}

/**
 * The noise from which DDIM draws a picture: its steps run backwards (Song et al. 2021a, §4.3). The
 * more steps, the closer `sample` from it comes to the picture.
 * @param x_0 [C, H, W] in −1 … 1
 * @returns x_T
 */
export async function invert(
  network: Network,
  x_0: Float32Array,
  request: InvertRequest,
): Promise<Float32Array> {
  const plan = planRun(network.scheduler, request);
  checkTaughtTimesteps(network, plan);
  const { size, denoise } = denoiserOf(network, plan, request, request.signal);
  if (x_0.length !== size) {
    throw new InputError(`expected a picture of [${network.shape}], found ${x_0.length} numbers`);
  }
  let x = x_0;
  let alpha_bar = 1;
  for (const t of plan.timesteps.toReversed()) {
    const alpha_bar_t = plan.schedule.alpha_bar(t);
    // The network is asked one level ahead of x: a step is small, and ε changes little in it.
    const { eps } = await denoise(x, t);
    const estimate = combine([1 / Math.sqrt(alpha_bar), x], [
      -Math.sqrt((1 - alpha_bar) / alpha_bar),
      eps,
    ]);
    x = combine([Math.sqrt(alpha_bar_t), estimate], [Math.sqrt(1 - alpha_bar_t), eps]);
    alpha_bar = alpha_bar_t;
  }
  return x;
}
