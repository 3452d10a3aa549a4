// What happens to a product before it is written: bias, time embedding, residual, scale, SiLU.
import { silu4 } from "./math";

/** Where a convolution's or linear layer's results go and what is added to them; 0 is "nothing". */
@unmanaged
export class Output {
  /** Pixels y [N][pixels][channels], the bytes from pixel to pixel and from picture to picture. */
  y: usize;
  pixel: usize;
  picture: usize;
  /** Added to every pixel: [channels]. */
  bias: usize;
  /** Added to every pixel of a picture: [N][channels], and the bytes from picture to picture. */
  embedding: usize;
  embeddingPicture: usize;
  /** Added to each pixel: pixels as y's. */
  residual: usize;
  residualPixel: usize;
  residualPicture: usize;
  /** Multiplies the sum. */
  scale: f32;
  /** 1: SiLU of all that. */
  silu: i32;
}

/** Finishes and stores four channels: y and residual are addresses, `sum` is bias and embedding. */
// @ts-ignore: decorator
@inline
export function finish(
  v: v128,
  sum: v128,
  residual: usize,
  scale: v128,
  silu: i32,
  y: usize,
): void {
  v = f32x4.add(v, sum);
  if (residual) v = f32x4.add(v, v128.load(residual));
  v = f32x4.mul(v, scale);
  if (silu) v = silu4(v);
  v128.store(y, v);
}

/** What is added to four channels of every pixel of picture n, `at` bytes into the pixel. */
// @ts-ignore: decorator
@inline
export function added(out: Output, n: usize, at: usize): v128 {
  let sum = f32x4.splat(0);
  if (out.bias) sum = v128.load(out.bias + at);
  if (out.embedding) {
    sum = f32x4.add(sum, v128.load(out.embedding + n * out.embeddingPicture + at));
  }
  return sum;
}
