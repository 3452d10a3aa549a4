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

/** Finishes and stores four channels, `at` bytes into the pixel, of pixel `pixel` of picture n. */
// @ts-ignore: decorator
@inline
export function finish(out: Output, v: v128, n: usize, pixel: usize, at: usize): void {
  if (out.bias) v = f32x4.add(v, v128.load(out.bias + at));
  if (out.embedding) {
    v = f32x4.add(v, v128.load(out.embedding + n * out.embeddingPicture + at));
  }
  if (out.residual) {
    v = f32x4.add(
      v,
      v128.load(out.residual + n * out.residualPicture + pixel * out.residualPixel + at),
    );
  }
  v = f32x4.mul(v, f32x4.splat(out.scale));
  if (out.silu) v = silu4(v);
  v128.store(out.y + n * out.picture + pixel * out.pixel + at, v);
}
