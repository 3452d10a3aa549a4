/** What a picture has lost, as one operator: the parts that can be combined exactly, and a word on the rest. */
import type { LinearOperator } from "../diffusion/scheduler.ts";
import { InputError } from "../errors.ts";
import { multiply } from "./linear/matrix.ts";
import type { OperatorPlugin, PictureShape } from "./operator.ts";
import bicubic, { bicubicMatrix, meanMatrix } from "./operators/bicubic.ts";
import { blockMean } from "./operators/block_mean.ts";
import { blurKernel, type Border, convolutionMatrix } from "./operators/blur.ts";
import motion from "./operators/circular.ts";
import { denoising } from "./operators/denoising.ts";
import { grey } from "./operators/grey.ts";
import { masked } from "./operators/inpainting.ts";
import { separable } from "./operators/separable.ts";

/** A blur by its kernel. */
export type Blur =
  | { readonly kind: "gaussian" | "uniform"; readonly size: number; readonly border?: Border }
  | { readonly kind: "motion"; readonly length: number; readonly angle: number };

/** What was done to a picture, in this order: colours taken, blurred, made smaller, masked. */
export interface Degradation {
  /** The colours are gone. */
  readonly colour?: boolean;
  /** It is blurred. */
  readonly blur?: Blur;
  /** It is smaller, by block means or bicubic interpolation. */
  readonly scale?: { readonly factor: number; readonly kernel: "mean" | "bicubic" };
  /** What is kept, 1 or 0 for each pixel of the picture that is left. */
  readonly mask?: Mask;
  /** In place of all the others: an operator plug-in. */
  readonly operator?: {
    readonly plugin: OperatorPlugin;
    readonly options: Readonly<Record<string, number | boolean | string>>;
  };
}

/** 1 where a pixel is kept, 0 where it is missing. */
export interface Mask {
  readonly kept: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** What can be combined, for messages. */
const COMBINATIONS =
  "colour goes with everything, a mask with colour and scale by means, a Gaussian or uniform blur with scale, noise with everything";

/**
 * The operator H of a degradation for pictures of a shape.
 * @throws InputError where no exact operator of the combination is known, or a part does not fit
 */
export function operatorOf(degradation: Degradation, shape: PictureShape): LinearOperator {
  const { colour, mask, operator, blur, scale } = degradation;
  if (operator) {
    if (colour || blur || scale) {
      throw new InputError(`operator "${operator.plugin.name}": cannot be combined with others`);
    }
    if (mask && !operator.plugin.mask) {
      throw new InputError(`operator "${operator.plugin.name}": takes no mask`);
    }
    if (mask) checkMask(mask, shape[2], shape[1]);
    return operator.plugin.create({ shape, options: operator.options, mask: mask?.kept });
  }
  const [, height, width] = shape;
  const inner = withoutColour(degradation, colour ? [1, height, width] : shape);
  return colour ? grey(shape, inner) : inner;
}

function withoutColour({ blur, scale, mask }: Degradation, shape: PictureShape): LinearOperator {
  const base = blurred(blur, scale, shape);
  if (!mask) return base;
  if (blur || scale?.kernel === "bicubic") {
    throw new InputError(
      `a mask and ${
        blur ? "a blur" : "bicubic scaling"
      }: no exact operator is known (${COMBINATIONS})`,
    );
  }
  const [, height, width] = base.measured;
  checkMask(mask, width, height);
  return masked(base, mask.kept);
}

function checkMask(mask: Mask, width: number, height: number): void {
  if (mask.width === width && mask.height === height) return;
  throw new InputError(
    `mask: expected ${width}×${height} pixels, the size of the picture it belongs to, found ${mask.width}×${mask.height}`,
  );
}

function blurred(
  blur: Degradation["blur"],
  scale: Degradation["scale"],
  shape: PictureShape,
): LinearOperator {
  const [, height, width] = shape;
  if (!blur) return scale ? smaller(scale, shape) : denoising(shape);
  if (blur.kind === "motion") {
    if (scale) {
      throw new InputError(
        `motion blur and scale: no exact operator is known (${COMBINATIONS})`,
      );
    }
    const { length, angle } = blur;
    return motion.create({ shape, options: { length, angle } });
  }
  const { kind, size, border = "reflect" } = blur;
  const kernel = blurKernel(kind, size);
  const stages = [height, width].map((n) => {
    const a = convolutionMatrix(n, kernel, border);
    return scale ? multiply(scaleMatrix(scale, n, shape), a) : a;
  });
  const name = `${kind} blur ${size}`;
  return separable(scale ? `${name}, 1/${scale.factor}` : name, shape, stages[0], stages[1]);
}

function smaller(scale: NonNullable<Degradation["scale"]>, shape: PictureShape): LinearOperator {
  const { factor, kernel } = scale;
  return kernel === "mean"
    ? blockMean(shape, factor)
    : bicubic.create({ shape, options: { scale: factor } });
}

function scaleMatrix(
  { factor, kernel }: NonNullable<Degradation["scale"]>,
  n: number,
  [, height, width]: PictureShape,
) {
  if (!Number.isInteger(factor) || factor < 2 || n % factor !== 0) {
    throw new InputError(
      `scale: expected a whole number from 2 that divides ${width}×${height}, found ${factor}`,
    );
  }
  return kernel === "mean" ? meanMatrix(n, factor) : bicubicMatrix(n, factor);
}
