/** Converts a network's output (ε, x_0 or v) to eps and x_0. */
import { combine } from "./combine.ts";
import { InputError, shown } from "../errors.ts";
import type { Denoised, PredictionType } from "./scheduler.ts";

/**
 * The noise and the picture that a network's output stands for, such that
 * x_t = √ᾱ·x_0 + √(1−ᾱ)·eps holds. Nothing is clipped.
 *
 * ε (Ho et al. 2020, eq. 15): x_0 = (x_t − √(1−ᾱ)·ε)/√ᾱ. v (Salimans & Ho 2022, app. D):
 * x_0 = √ᾱ·x_t − √(1−ᾱ)·v, eps = √ᾱ·v + √(1−ᾱ)·x_t.
 * @param output the network's output for one picture, as long as x_t, or twice as long when it learned
 * its variance: the second half then is `variance`
 *
 * Throws `InputError` for ε at ᾱ = 0 (pure noise says nothing of x_0) and for x_0 at ᾱ = 1.
 */
export function denoisedFrom(
  type: PredictionType,
  output: Float32Array,
  x_t: Float32Array,
  alpha_bar: number,
): Denoised {
  const prediction = output.subarray(0, x_t.length);
  const { eps, x_0 } = predictionCoefficients(type, alpha_bar);
  const sum = (of: { output: number; x_t: number }) =>
    of.output === 1 && of.x_t === 0
      ? prediction.slice()
      : combine([of.output, prediction], [of.x_t, x_t]);
  const denoised: Denoised = { eps: sum(eps), x_0: sum(x_0) };
  if (output.length === 2 * x_t.length) denoised.variance = output.slice(x_t.length);
  return denoised;
}

/** eps and x_0 as sums of a network's output and x_t; each is { output, x_t }, the two factors. */
export interface PredictionCoefficients {
  /** eps = output·network + x_t·x_t. */
  readonly eps: { readonly output: number; readonly x_t: number };
  /** x_0 in the same way. */
  readonly x_0: { readonly output: number; readonly x_t: number };
}

/**
 * How eps and x_0 follow from the output at ᾱ; see {@link denoisedFrom} for the equations.
 *
 * Throws `InputError` for ε at ᾱ = 0 and for x_0 at ᾱ = 1.
 */
export function predictionCoefficients(
  type: PredictionType,
  alpha_bar: number,
): PredictionCoefficients {
  const signal = Math.sqrt(alpha_bar), sigma = Math.sqrt(1 - alpha_bar);
  switch (type) {
    case "epsilon":
      if (signal === 0) {
        throw new InputError(
          "prediction_type: a model that predicts epsilon cannot start at ᾱ = 0 (zero terminal " +
            "SNR), where x_t does not depend on x_0. Use a schedule without it, or a model that " +
            "predicts v_prediction or sample.",
        );
      }
      return {
        eps: { output: 1, x_t: 0 },
        x_0: { output: -sigma / signal, x_t: 1 / signal },
      };
    case "sample":
      if (sigma === 0) {
        throw new InputError("prediction_type: eps cannot be told from x_0 at ᾱ = 1 (no noise)");
      }
      return {
        eps: { output: -signal / sigma, x_t: 1 / sigma },
        x_0: { output: 1, x_t: 0 },
      };
    case "v_prediction":
      return {
        eps: { output: signal, x_t: sigma },
        x_0: { output: -sigma, x_t: signal },
      };
    default:
      throw new InputError(
        `prediction_type: expected epsilon, sample or v_prediction, found ${shown(type)}`,
      );
  }
}

/**
 * What a network of this type should have said, the training target: ε, x_0, or
 * v = √ᾱ·ε − √(1−ᾱ)·x_0 (Salimans & Ho 2022, app. D).
 */
export function predictionTarget(
  type: PredictionType,
  x_0: Float32Array,
  eps: Float32Array,
  alpha_bar: number,
): Float32Array {
  if (type === "epsilon") return eps.slice();
  if (type === "sample") return x_0.slice();
  return combine([Math.sqrt(alpha_bar), eps], [-Math.sqrt(1 - alpha_bar), x_0]);
}

/**
 * The noise that goes with a picture at x_t, eps = (x_t − √ᾱ·x_0)/√(1−ᾱ): for samplers that clip x_0
 * and want eps to follow.
 */
export function epsOf(x_0: Float32Array, x_t: Float32Array, alpha_bar: number): Float32Array {
  return denoisedFrom("sample", x_0, x_t, alpha_bar).eps;
}
