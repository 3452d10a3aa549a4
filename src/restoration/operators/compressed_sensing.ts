/** Compressed sensing: some coefficients of a transform that spreads each over the whole picture. */
import { createGenerator, type LinearOperator, type Vector } from "../../diffusion/mod.ts";
import { MAX_SEED } from "../../diffusion/random.ts";
import { sandwich, transpose } from "../linear/matrix.ts";
import { cosineMatrix, hadamard } from "../linear/transforms.ts";
import type { OperatorPlugin, PictureShape } from "../operator.ts";

/**
 * y is a share of the coefficients of each channel, the same for all, the mean among them, the rest
 * drawn by the seed: Walsh–Hadamard where a channel has 2^k pixels, else the cosine transform. V is
 * the transform itself, and s is 1 where a coefficient is in y.
 */
export function compressedSensing(
  shape: PictureShape,
  share: number,
  seed: number,
): LinearOperator {
  const [channels, height, width] = shape;
  const area = height * width;
  const kept = Math.max(1, Math.round(share * area));
  const chosen = firstAndSome(area, kept, seed);
  const isPower = (area & (area - 1)) === 0;
  const [down, across] = [cosineMatrix(height), cosineMatrix(width)];
  const [downT, acrossT] = [transpose(down), transpose(across)];
  const perChannel = (x: Vector) => {
    const out = Float64Array.from(x);
    for (let c = 0; c < channels; c++) hadamard(out.subarray(c * area, (c + 1) * area));
    return out;
  };
  const s = new Float64Array(channels * area);
  for (let c = 0; c < channels; c++) for (const i of chosen) s[c * area + i] = 1;
  const Vt = isPower ? perChannel : (x: Vector) => sandwich(down, x, across);
  const gather = (coefficients: Vector) =>
    Float64Array.from(
      { length: channels * kept },
      (_, i) => coefficients[Math.floor(i / kept) * area + chosen[i % kept]],
    );
  return {
    name: `${kept} of ${area} ${isPower ? "Walsh–Hadamard" : "cosine"} coefficients`,
    shape,
    measured: [channels * kept, 1, 1],
    s,
    apply: (x) => gather(Vt(x)),
    Vt,
    V: isPower ? perChannel : (x_bar) => sandwich(downT, x_bar, acrossT),
    Ut(y) {
      const c = new Float64Array(s.length);
      y.forEach((value, i) => c[Math.floor(i / kept) * area + chosen[i % kept]] = value);
      return c;
    },
    U: gather,
  };
}

/** 0 and `count` − 1 others below n, drawn without repeats (Fisher & Yates), in ascending order. */
function firstAndSome(n: number, count: number, seed: number): Uint32Array {
  const generator = createGenerator(seed);
  const all = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = 1; i < count; i++) {
    const j = i + Math.floor(generator.uint32() / 2 ** 32 * (n - i));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return all.subarray(0, count).sort();
}

const plugin: OperatorPlugin = {
  name: "sensing",
  api: 1,
  description: "compressed sensing: some coefficients of a transform",
  options: {
    share: {
      type: "number",
      description: "how many of the coefficients are known",
      default: 0.25,
      minimum: 0.001,
      maximum: 1,
    },
    seed: {
      type: "integer",
      description: "which ones",
      default: 0,
      minimum: 0,
      maximum: MAX_SEED,
    },
  },
  create: ({ shape, options }) =>
    compressedSensing(shape, Number(options.share), Number(options.seed)),
};
export default plugin;
