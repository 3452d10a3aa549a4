// The transforms of F(4×4, 3×3), with the interpolation points 0, ±√½, ±√2 and ∞: their error is half
// that of the usual 0, ±1, ±2, ∞.
import { madd, nmadd } from "./math";
import { finish, Output } from "./output";

const A: f32 = 0.70710678118654752;
const B: f32 = 1.4142135623730951;
const A3: f32 = 0.35355339059327376;
const B3: f32 = 2.8284271247461903;

/** Bᵀ of six numbers, stored `step` bytes apart. */
// @ts-ignore: decorator
@inline
function bt(d0: v128, d1: v128, d2: v128, d3: v128, d4: v128, d5: v128, to: usize, step: usize): void {
  const k = f32x4.splat(2.5), a = f32x4.splat(A), b = f32x4.splat(B);
  v128.store(to, nmadd(k, d2, f32x4.add(d0, d4)));
  const p = nmadd(f32x4.splat(2), d2, d4);
  const q = nmadd(b, d1, f32x4.mul(a, d3));
  v128.store(to + step, f32x4.add(p, q));
  v128.store(to + step * 2, f32x4.sub(p, q));
  const r = nmadd(f32x4.splat(0.5), d2, d4);
  const s = nmadd(a, d1, f32x4.mul(b, d3));
  v128.store(to + step * 3, f32x4.add(r, s));
  v128.store(to + step * 4, f32x4.sub(r, s));
  v128.store(to + step * 5, nmadd(k, d3, f32x4.add(d1, d5)));
}

/** One tile's Bᵀ d B, for all channels; the places of the tile are `plane` bytes apart in v. */
export function inputTile4(
  addresses: usize,
  between: usize,
  bytes: usize,
  v: usize,
  plane: usize,
): void {
  for (let c: usize = 0; c < bytes; c += 16) {
    for (let row: usize = 0; row < 6; row++) {
      const at = addresses + row * 24;
      bt(
        v128.load(load<usize>(at) + c),
        v128.load(load<usize>(at, 4) + c),
        v128.load(load<usize>(at, 8) + c),
        v128.load(load<usize>(at, 12) + c),
        v128.load(load<usize>(at, 16) + c),
        v128.load(load<usize>(at, 20) + c),
        between + row * 96,
        16,
      );
    }
    for (let column: usize = 0; column < 6; column++) {
      const at = between + (column << 4);
      bt(
        v128.load(at),
        v128.load(at, 96),
        v128.load(at, 192),
        v128.load(at, 288),
        v128.load(at, 384),
        v128.load(at, 480),
        v + column * plane + c,
        plane * 6,
      );
    }
  }
}

/** One tile's Aᵀ m A, for the channels of a range; rows and columns beyond the picture are left. */
export function outputTile4(
  out: Output,
  m: usize,
  plane: usize,
  between: usize,
  channels: i32,
  channel: usize,
  n: usize,
  pixel: usize,
  width: usize,
  rows: i32,
  columns: i32,
): void {
  const a = f32x4.splat(A), b = f32x4.splat(B), a3 = f32x4.splat(A3), b3 = f32x4.splat(B3);
  const half = f32x4.splat(0.5), two = f32x4.splat(2);
  for (let k = 0; k < channels; k += 4) {
    let from = m + (<usize> k << 2);
    for (let row: usize = 0; row < 6; row++) {
      const m0 = v128.load(from), m1 = v128.load(from + plane), m2 = v128.load(from + plane * 2);
      const m3 = v128.load(from + plane * 3), m4 = v128.load(from + plane * 4);
      const m5 = v128.load(from + plane * 5);
      const s1 = f32x4.add(m1, m2), d1 = f32x4.sub(m1, m2);
      const s2 = f32x4.add(m3, m4), d2 = f32x4.sub(m3, m4);
      const to = between + (row << 6);
      v128.store(to, f32x4.add(f32x4.add(m0, s1), s2));
      v128.store(to, madd(a, d1, f32x4.mul(b, d2)), 16);
      v128.store(to, madd(half, s1, f32x4.mul(two, s2)), 32);
      v128.store(to, madd(a3, d1, madd(b3, d2, m5)), 48);
      from += plane * 6;
    }
    const at = channel + (<usize> k << 2);
    for (let j = 0; j < columns; j++) {
      const t = between + (<usize> j << 4);
      const m0 = v128.load(t), m1 = v128.load(t, 64), m2 = v128.load(t, 128);
      const m3 = v128.load(t, 192), m4 = v128.load(t, 256), m5 = v128.load(t, 320);
      const s1 = f32x4.add(m1, m2), d1 = f32x4.sub(m1, m2);
      const s2 = f32x4.add(m3, m4), d2 = f32x4.sub(m3, m4);
      const p = pixel + <usize> j;
      finish(out, f32x4.add(f32x4.add(m0, s1), s2), n, p, at);
      if (rows > 1) finish(out, madd(a, d1, f32x4.mul(b, d2)), n, p + width, at);
      if (rows > 2) finish(out, madd(half, s1, f32x4.mul(two, s2)), n, p + 2 * width, at);
      if (rows > 3) finish(out, madd(a3, d1, madd(b3, d2, m5)), n, p + 3 * width, at);
    }
  }
}
