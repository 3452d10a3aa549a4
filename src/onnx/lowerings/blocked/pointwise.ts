/** Elementwise operations, concatenation, slicing and resampling in blocked layout. */
import { attributesOf } from "../../../graph/value.ts";
import { type Emitter, type Lowering, type LowerOp, once } from "../../lowering.ts";
import { sameShape, type Value } from "../../../graph/value.ts";
import { affine, everywhere } from "./affine.ts";
import { blockedOp, fromBlocked, isBlockable, isBlocked, pixelMeans, toBlocked } from "./layout.ts";

const elementwise = [
  ...["add", "sub", "mul", "div", "min", "max", "neg", "exp", "log", "sqrt", "reciprocal"],
  ...["sin", "cos", "sigmoid"],
];

/** What silu made of a blocked tensor. */
const siluOf = (e: Emitter, x: string, write: () => string) => once(e, `silu of ${x}`, write);

export function pointwiseLowerings(block: number, base: Lowering): Record<string, LowerOp> {
  const anyBlocked = (e: Emitter, inputs: readonly string[]) => inputs.some((x) => isBlocked(e, x));
  const channelsOf = (value: Value) => value.shape[1] as number;

  /** The blocked name, for inputs of the same shape and scalars; undefined otherwise. */
  const beside = (e: Emitter, value: Value, input: Value, name: string): string | undefined => {
    const { shape } = input;
    if (sameShape(shape, value.shape)) return toBlocked(e, name);
    if (shape.length === 0) return name;
    return undefined;
  };

  const lowerElementwise = (op: string): LowerOp => (e, value, inputs) => {
    if (!isBlockable(value, block) || !anyBlocked(e, inputs)) return base.ops[op](e, value, inputs);
    const names = inputs.map((name, i) => beside(e, value, value.node.inputs[i], name));
    if (names.every((name) => name !== undefined)) {
      return fromBlocked(e, base.ops[op](e, value, names as string[]), channelsOf(value));
    }
    return lowerPerChannel(op)(e, value, inputs);
  };

  /** x [N, C, H, W] with z [N or 1, C, 1, 1]: in blocks, [N, C/B, H·W, B] with [N, C/B, 1, B]. */
  const lowerPerChannel = (op: string): LowerOp => (e, value, inputs) => {
    const [n, c, h, w] = value.shape as number[];
    const shapes = value.node.inputs.map(({ shape }) => shape as number[]);
    const full = shapes.map((shape) => sameShape(shape, value.shape));
    const suits = shapes.every((shape, i) =>
      full[i] || shape.length === 4 && shape[1] === c && shape[2] === 1 && shape[3] === 1
    );
    if (!suits) return base.ops[op](e, value, inputs);
    const vector = full.indexOf(false);
    if (shapes[vector][0] === n && (op === "add" || op === "mul")) {
      const x = toBlocked(e, inputs[1 - vector]);
      const z = inputs[vector];
      const terms = op === "add" ? { factor: everywhere(e, 1, [n, c]), shift: z } : { factor: z };
      return fromBlocked(e, affine(e, x, [n, c, h, w], terms), c);
    }
    const names = inputs.map((name, i) =>
      e.op("Reshape", [
        full[i] ? toBlocked(e, name) : name,
        e.int64([full[i] ? n : shapes[i][0], c / block, full[i] ? h * w : 1, block]),
      ])
    );
    const y = base.ops[op](e, value, names);
    return fromBlocked(e, e.op("Reshape", [y, e.int64([n, c, h, w])]), c);
  };

  const silu: LowerOp = (e, value, inputs) => {
    if (!isBlockable(value, block) || !anyBlocked(e, inputs)) {
      return base.ops.silu(e, value, inputs);
    }
    const x = toBlocked(e, inputs[0]);
    return fromBlocked(e, siluOf(e, x, () => base.ops.silu(e, value, [x])), channelsOf(value));
  };

  /** With y = x·σ(x), dx = dy·σ·(1 + x − y): fewer passes than σ·(1 + x·(1 − σ)) from the start. */
  const siluGrad: LowerOp = (e, value, inputs) => {
    if (!isBlockable(value, block) || !anyBlocked(e, inputs)) {
      return base.ops.siluGrad(e, value, inputs);
    }
    const shape = value.shape as number[];
    const [x, dy] = inputs.map((name) => toBlocked(e, name));
    const y = siluOf(e, x, () => base.ops.silu(e, value, [x]));
    const slope = affine(e, y, shape, {
      factor: everywhere(e, -1, shape),
      shift: everywhere(e, 1, shape),
      plus: x,
    });
    const dx = e.op("Mul", [e.op("Mul", [e.op("Sigmoid", [x]), slope]), dy]);
    return fromBlocked(e, dx, channelsOf(value));
  };

  /** Operators along the channels take a tensor in blocks as it lies, at whole blocks. */
  const alongChannels =
    (op: string, whole: (value: Value) => boolean): LowerOp => (e, value, inputs) => {
      const { axis } = attributesOf<{ axis: number }>(value.node);
      const suits = axis === 1 && isBlockable(value, block) && anyBlocked(e, inputs) &&
        value.node.inputs.every((x) => isBlockable(x, block)) && whole(value);
      if (!suits) return base.ops[op](e, value, inputs);
      const blocked = inputs.map((x) => toBlocked(e, x));
      return fromBlocked(e, base.ops[op](e, value, blocked), channelsOf(value));
    };

  const reduceSum: LowerOp = (e, value, inputs) => {
    const { axes } = attributesOf<{ axes: number[] }>(value.node);
    const [x] = value.node.inputs;
    const overPixels = axes.length === 2 && axes[0] === 2 && axes[1] === 3;
    if (!overPixels || !isBlockable(x, block) || !isBlocked(e, inputs[0])) {
      return base.ops.reduceSum(e, value, inputs);
    }
    const [, , h, w] = x.shape as number[];
    const sums = e.op("Mul", [pixelMeans(e, toBlocked(e, inputs[0])), e.scalar(h * w)]);
    return e.op("Reshape", [sums, e.int64(value.shape as number[])]);
  };

  const resampled =
    (op: string, lower: (e: Emitter, x: string, factor: number) => string): LowerOp =>
    (e, value, inputs) => {
      if (!isBlockable(value, block) || !anyBlocked(e, inputs)) {
        return base.ops[op](e, value, inputs);
      }
      const { factor } = attributesOf<{ factor: number }>(value.node);
      return fromBlocked(e, lower(e, toBlocked(e, inputs[0]), factor), channelsOf(value));
    };

  return {
    ...Object.fromEntries(elementwise.map((op) => [op, lowerElementwise(op)])),
    silu,
    siluGrad,
    concat: alongChannels("concat", () => true),
    slice: alongChannels("slice", ({ node }) => {
      const { start } = attributesOf<{ start: number }>(node);
      return start % block === 0;
    }),
    reduceSum,
    upsampleNearest: resampled(
      "upsampleNearest",
      (e, x, factor) => blockedOp(e, "Upsample", [x], { scales: [1, 1, factor, factor] }),
    ),
    avgPool: resampled("avgPool", (e, x, factor) =>
      blockedOp(e, "AveragePool", [x], {
        kernel_shape: [factor, factor],
        strides: [factor, factor],
      })),
  };
}
