/** Validates the arguments of `predict`: N pictures, N timesteps, N labels or none. */
import { InputError } from "../errors.ts";

/**
 * Checks the arguments of `predict`.
 * @param shape [C, H, W] of one picture
 * @param classes how many classes the network knows; null for an unconditional one
 * @throws InputError that names the argument that does not fit
 */
export function checkPredictArguments(
  x: Float32Array,
  t: Float32Array,
  labels: Int32Array | undefined,
  { shape, classes }: { shape: readonly number[]; classes: number | null },
): void {
  const n = t.length;
  if (x.length !== n * shape.reduce((a, b) => a * b)) {
    throw new InputError(
      `predict: x has ${x.length} elements; ${n} timesteps need ${n} × [${shape}]`,
    );
  }
  if (classes === null) {
    if (!labels) return;
    throw new InputError("predict: labels were given, but the network is unconditional");
  }
  if (labels?.length !== n) {
    throw new InputError(
      `predict: expected ${n} labels below ${classes}, found ${labels?.length ?? "none"}`,
    );
  }
  const wrong = labels.find((label) => label < 0 || label >= classes);
  if (wrong !== undefined) {
    throw new InputError(`predict: label ${wrong} is outside 0…${classes - 1}`);
  }
}
