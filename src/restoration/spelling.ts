/** What a picture has lost, in a few letters: `gaussian:2`, `4:bicubic`, as flags and forms say it. */
import { FieldError } from "../errors.ts";
import { number, parse, whole } from "../schema.ts";
import type { Blur, Degradation } from "./degradation.ts";

/** "4", "4:mean" or "4:bicubic". */
export function readScale(text: string, field: string): NonNullable<Degradation["scale"]> {
  const [factor, kernel = "mean", ...rest] = text.split(":");
  if ((kernel !== "mean" && kernel !== "bicubic") || rest.length > 0) {
    throw new FieldError(field, "a whole number such as 4, 4:mean or 4:bicubic", text);
  }
  return { factor: parse(whole(2, 64), factor, field), kernel };
}

/** "gaussian:2", "uniform:9" or "motion:7:30". */
export function readBlur(text: string, field: string): Blur {
  const [kind, size, angle, ...rest] = text.split(":");
  const expected = "gaussian:SIGMA, uniform:WIDTH or motion:LENGTH:DEGREES";
  if (size === undefined || rest.length > 0) throw new FieldError(field, expected, text);
  if (kind === "motion") {
    return {
      kind,
      length: parse(number(), size, field),
      angle: angle === undefined ? 0 : parse(number(), angle, field),
    };
  }
  if ((kind !== "gaussian" && kind !== "uniform") || angle !== undefined) {
    throw new FieldError(field, expected, text);
  }
  return { kind, size: parse(number(), size, field) };
}

/** σ_y, or that it is to be told from the picture. */
export function readNoise(text: string, field: string): number | "auto" {
  if (text === "auto") return text;
  const sigma = number(0, 10).fromText(text);
  if (number(0, 10).accepts(sigma)) return sigma;
  throw new FieldError(field, "a number from 0 to 10, or auto", text);
}
