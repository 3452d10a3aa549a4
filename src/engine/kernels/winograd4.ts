// The transforms of F(4×4, 3×3), with the interpolation points 0, ±√½, ±√2 and ∞: their error is half
// that of the usual 0, ±1, ±2, ∞.
import { A, A3, B, B3, constant, HALF, K, TWO } from "./constants";
import { madd, nmadd } from "./math";
import { added, finish, Output } from "./output";

/** Bᵀ of six numbers, stored `step` bytes apart. */
// @ts-ignore: decorator
@inline
function bt(d0: v128, d1: v128, d2: v128, d3: v128, d4: v128, d5: v128, to: usize, step: usize): void {
  const k = constant(K), a = constant(A), b = constant(B);
  v128.store(to, nmadd(k, d2, f32x4.add(d0, d4)));
  const p = nmadd(constant(TWO), d2, d4);
  const q = nmadd(b, d1, f32x4.mul(a, d3));
  v128.store(to + step, f32x4.add(p, q));
  v128.store(to + step * 2, f32x4.sub(p, q));
  const r = nmadd(constant(HALF), d2, d4);
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
  const a = constant(A), b = constant(B), a3 = constant(A3), b3 = constant(B3);
  const half = constant(HALF), two = constant(TWO);
  const scale = f32x4.splat(out.scale), silu = out.silu;
  const step = out.pixel, down = width * step;
  const rStep = out.residualPixel, rDown = width * rStep;
  const tile = out.y + n * out.picture + pixel * step + channel;
  const rTile = out.residual
    ? out.residual + n * out.residualPicture + pixel * rStep + channel
    : 0;
  for (let k: usize = 0; k < <usize> channels << 2; k += 16) {
    let from = m + k;
    for (let to = between; to < between + 384; to += 64) {
      const m0 = v128.load(from), m1 = v128.load(from + plane), m2 = v128.load(from + plane * 2);
      const m3 = v128.load(from + plane * 3), m4 = v128.load(from + plane * 4);
      const m5 = v128.load(from + plane * 5);
      const s1 = f32x4.add(m1, m2), d1 = f32x4.sub(m1, m2);
      const s2 = f32x4.add(m3, m4), d2 = f32x4.sub(m3, m4);
      v128.store(to, f32x4.add(f32x4.add(m0, s1), s2));
      v128.store(to, madd(a, d1, f32x4.mul(b, d2)), 16);
      v128.store(to, madd(half, s1, f32x4.mul(two, s2)), 32);
      v128.store(to, madd(a3, d1, madd(b3, d2, m5)), 48);
      from += plane * 6;
    }
    const sum = added(out, n, channel + k);
    let y = tile + k, r = rTile ? rTile + k : 0;
    for (let t = between; t < between + (<usize> columns << 4); t += 16) {
      const m0 = v128.load(t), m1 = v128.load(t, 64), m2 = v128.load(t, 128);
      const m3 = v128.load(t, 192), m4 = v128.load(t, 256), m5 = v128.load(t, 320);
      const s1 = f32x4.add(m1, m2), d1 = f32x4.sub(m1, m2);
      const s2 = f32x4.add(m3, m4), d2 = f32x4.sub(m3, m4);
      finish(f32x4.add(f32x4.add(m0, s1), s2), sum, r, scale, silu, y);
      if (rows > 1) {
        const v = madd(a, d1, f32x4.mul(b, d2));
        finish(v, sum, r ? r + rDown : 0, scale, silu, y + down);
      }
      if (rows > 2) {
        const v = madd(half, s1, f32x4.mul(two, s2));
        finish(v, sum, r ? r + 2 * rDown : 0, scale, silu, y + 2 * down);
      }
      if (rows > 3) {
        const v = madd(a3, d1, madd(b3, d2, m5));
        finish(v, sum, r ? r + 3 * rDown : 0, scale, silu, y + 3 * down);
      }
      y += step;
      if (r) r += rStep;
    }
  }
}
