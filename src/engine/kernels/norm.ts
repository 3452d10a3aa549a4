// Group normalisation, with SiLU after it where that follows.
import { madd, roundUp, silu4, storeSilu16 } from "./math";
import { barrier, claim, thread } from "./sync";

@unmanaged
export class Norm {
  op: i32;
  words: i32;
  /** Pictures x and y [N][pixels][channels]: bytes from pixel to pixel, picture to picture. */
  x: usize;
  pixel: usize;
  picture: usize;
  y: usize;
  yPixel: usize;
  yPicture: usize;
  n: i32;
  pixels: i32;
  channels: i32;
  /** Channels of a group. */
  group: i32;
  /** Channels of an item: whole groups. */
  block: i32;
  eps: f32;
  /** [channels], with zeros up to a multiple of four. */
  weight: usize;
  bias: usize;
  silu: i32;
  /** Each thread's own: per channel two sums in float64, then shift, factor and offset. */
  scratch: usize;
  scratchBytes: usize;
}

/** Pixels that are summed in float32 before the sums go to float64. */
const RUN: i32 = 128;
/** Pixels that are normalised together. */
const AT_ONCE: i32 = 64;

/** Adds four sums to four float64. */
// @ts-ignore: decorator
@inline
function flush(to: usize, v: v128): void {
  v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(v)));
  const high = v128.shuffle<f32>(v, v, 2, 3, 2, 3);
  v128.store(to, f64x2.add(v128.load(to, 16), f64x2.promote_low_f32x4(high)), 16);
}

/** Σ x of `vectors` (one, or four) times four channels over all pixels, added to float64 at `to`. */
function sums(x: usize, step: usize, pixels: i32, four: bool, to: usize): void {
  const zero = f32x4.splat(0);
  for (let at = 0; at < pixels; at += RUN) {
    const end = x + <usize> min(RUN, pixels - at) * step;
    let a = zero, b = zero, c = zero, d = zero;
    if (four) {
      for (; x < end; x += step) {
        a = f32x4.add(a, v128.load(x));
        b = f32x4.add(b, v128.load(x, 16));
        c = f32x4.add(c, v128.load(x, 32));
        d = f32x4.add(d, v128.load(x, 48));
      }
      flush(to + 32, b);
      flush(to + 64, c);
      flush(to + 96, d);
    } else {
      for (; x < end; x += step) a = f32x4.add(a, v128.load(x));
    }
    flush(to, a);
  }
}

/** Σ (x − s) and Σ (x − s)² of four channels over all pixels, added to float64. */
// @ts-ignore: decorator
@inline
function moments(x: usize, step: usize, pixels: i32, shift: v128, to: usize, squares: usize): void {
  const zero = f32x4.splat(0);
  for (let at = 0; at < pixels; at += RUN) {
    const end = x + <usize> min(RUN, pixels - at) * step;
    let a = zero, b = zero;
    for (; x < end; x += step) {
      const d = f32x4.sub(v128.load(x), shift);
      a = f32x4.add(a, d);
      b = madd(d, d, b);
    }
    flush(to, a);
    flush(squares, b);
  }
}

/** `moments` of sixteen channels. */
function moments16(
  x: usize,
  step: usize,
  pixels: i32,
  shift: usize,
  to: usize,
  squares: usize,
): void {
  const zero = f32x4.splat(0);
  const s0 = v128.load(shift), s1 = v128.load(shift, 16);
  const s2 = v128.load(shift, 32), s3 = v128.load(shift, 48);
  for (let at = 0; at < pixels; at += RUN) {
    const end = x + <usize> min(RUN, pixels - at) * step;
    let a0 = zero, a1 = zero, a2 = zero, a3 = zero, b0 = zero, b1 = zero, b2 = zero, b3 = zero;
    for (; x < end; x += step) {
      let d = f32x4.sub(v128.load(x), s0);
      a0 = f32x4.add(a0, d);
      b0 = madd(d, d, b0);
      d = f32x4.sub(v128.load(x, 16), s1);
      a1 = f32x4.add(a1, d);
      b1 = madd(d, d, b1);
      d = f32x4.sub(v128.load(x, 32), s2);
      a2 = f32x4.add(a2, d);
      b2 = madd(d, d, b2);
      d = f32x4.sub(v128.load(x, 48), s3);
      a3 = f32x4.add(a3, d);
      b3 = madd(d, d, b3);
    }
    flush(to, a0);
    flush(to + 32, a1);
    flush(to + 64, a2);
    flush(to + 96, a3);
    flush(squares, b0);
    flush(squares + 32, b1);
    flush(squares + 64, b2);
    flush(squares + 96, b3);
  }
}

/**
 * y = (x − μ)·w/√(σ² + ε) + b. A first mean s, in float32, is right to some 1e-6 of itself; around
 * it the sums of x − s and (x − s)² give μ − s and σ² without cancellation, however far μ is from 0.
 */
export function groupNorm(at: usize): void {
  const c = changetype<Norm>(at);
  const blocks = (c.channels + c.block - 1) / c.block;
  const perPicture = 1 / <f64> (c.pixels * c.group);
  const a = c.scratch + <usize> thread * c.scratchBytes;
  const padded = roundUp(c.block, 4);
  const b = a + (<usize> padded << 3);
  const shifts = b + (<usize> padded << 3);
  const factors = shifts + (<usize> padded << 2);
  const offsets = factors + (<usize> padded << 2);

  for (let item = claim(c.n * blocks); item < c.n * blocks; item = claim(c.n * blocks)) {
    const n = item / blocks, first = (item - n * blocks) * c.block;
    const count = min(c.block, c.channels - first), vectors = (count + 3) >> 2;
    const start = <usize> first << 2;
    const x = c.x + <usize> n * c.picture + start;
    memory.fill(a, 0, <usize> padded << 4);

    let v = 0;
    for (; v + 4 <= vectors; v += 4) {
      sums(x + (<usize> v << 4), c.pixel, c.pixels, true, a + (<usize> v << 5));
    }
    for (; v < vectors; v++) {
      sums(x + (<usize> v << 4), c.pixel, c.pixels, false, a + (<usize> v << 5));
    }
    memory.fill(shifts, 0, <usize> padded << 2);
    for (let g = 0; g < count; g += c.group) {
      let sum: f64 = 0;
      for (let i = g; i < g + c.group; i++) sum += load<f64>(a + (<usize> i << 3));
      const mean = <f32> (sum * perPicture);
      for (let i = g; i < g + c.group; i++) store<f32>(shifts + (<usize> i << 2), mean);
    }

    memory.fill(a, 0, <usize> padded << 4);
    v = 0;
    for (; v + 4 <= vectors; v += 4) {
      const w = <usize> v << 5;
      moments16(x + (w >> 1), c.pixel, c.pixels, shifts + (w >> 1), a + w, b + w);
    }
    for (; v < vectors; v++) {
      const w = <usize> v << 5;
      const shift = v128.load(shifts + (w >> 1));
      moments(x + (w >> 1), c.pixel, c.pixels, shift, a + w, b + w);
    }
    memory.fill(factors, 0, <usize> padded << 3);
    for (let g = 0; g < count; g += c.group) {
      let sum: f64 = 0, squares: f64 = 0;
      for (let i = g; i < g + c.group; i++) {
        sum += load<f64>(a + (<usize> i << 3));
        squares += load<f64>(b + (<usize> i << 3));
      }
      const rest = sum * perPicture;
      const variance = max<f64>(squares * perPicture - rest * rest, 0);
      const inverse = 1 / Math.sqrt(variance + <f64> c.eps);
      for (let i = g; i < g + c.group; i++) {
        const k = <usize> i << 2;
        const factor = inverse * <f64> load<f32>(c.weight + start + k);
        store<f32>(factors + k, <f32> factor);
        store<f32>(offsets + k, <f32> (<f64> load<f32>(c.bias + start + k) - rest * factor));
      }
    }

    const s1 = c.pixel, s2 = s1 * 2, s3 = s1 * 3;
    // Some pixels at a time, so that a cache line is read once for all its channels.
    for (let at = 0; at < c.pixels; at += AT_ONCE) {
      const from = x + <usize> at * c.pixel;
      const y = c.y + <usize> n * c.yPicture + start + <usize> at * c.yPixel;
      const bytes = <usize> min(AT_ONCE, c.pixels - at) * c.pixel;
      for (let k: usize = 0; k < <usize> vectors << 4; k += 16) {
        const shift = v128.load(shifts + k), factor = v128.load(factors + k);
        const offset = v128.load(offsets + k);
        const end = from + k + bytes;
        let to = y + k;
        if (c.silu) {
          let p = from + k;
          for (; p + s3 < end; p += s3 + s1, to += <usize> c.yPixel << 2) {
            storeSilu16(
              madd(f32x4.sub(v128.load(p), shift), factor, offset),
              madd(f32x4.sub(v128.load(p + s1), shift), factor, offset),
              madd(f32x4.sub(v128.load(p + s2), shift), factor, offset),
              madd(f32x4.sub(v128.load(p + s3), shift), factor, offset),
              to,
              c.yPixel,
            );
          }
          for (; p < end; p += c.pixel, to += c.yPixel) {
            v128.store(to, silu4(madd(f32x4.sub(v128.load(p), shift), factor, offset)));
          }
        } else {
          for (let p = from + k; p < end; p += c.pixel, to += c.yPixel) {
            v128.store(to, madd(f32x4.sub(v128.load(p), shift), factor, offset));
          }
        }
      }
    }
  }
  barrier(c.n * blocks);
}
