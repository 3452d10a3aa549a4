/** What a network predicts (ε, x_0 or v), both ways round. */
import { combine } from "./combine.ts";
import { InputError } from "../errors.ts";
import type { Denoised, PredictionType } from "./types.ts";

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
  const denoised = fromPrediction(type, prediction, x_t, alpha_bar);
  if (output.length === 2 * x_t.length) denoised.variance = output.slice(x_t.length);
  return denoised;
}

function fromPrediction(
  type: PredictionType,
  prediction: Float32Array,
  x_t: Float32Array,
  alpha_bar: number,
): Denoised {
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
        eps: prediction.slice(),
        x_0: combine([1 / signal, x_t], [-sigma / signal, prediction]),
      };
    case "sample":
      if (sigma === 0) {
        throw new InputError("prediction_type: eps cannot be told from x_0 at ᾱ = 1 (no noise)");
      }
      return {
        eps: combine([1 / sigma, x_t], [-signal / sigma, prediction]),
        x_0: prediction.slice(),
      };
    case "v_prediction":
      return {
        eps: combine([signal, prediction], [sigma, x_t]),
        x_0: combine([signal, x_t], [-sigma, prediction]),
      };
    default:
      throw new InputError(
        `prediction_type: expected epsilon, sample or v_prediction, found ${JSON.stringify(type)}`,
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
  return fromPrediction("sample", x_0, x_t, alpha_bar).eps;
}
