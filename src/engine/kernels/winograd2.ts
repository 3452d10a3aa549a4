// The transforms of F(2×2, 3×3), with the interpolation points 0, ±1 and ∞.
import { added, finish, Output } from "./output";

/** Bᵀ of four numbers, stored `step` bytes apart. */
// @ts-ignore: decorator
@inline
function bt(d0: v128, d1: v128, d2: v128, d3: v128, to: usize, step: usize): void {
  v128.store(to, f32x4.sub(d0, d2));
  v128.store(to + step, f32x4.add(d1, d2));
  v128.store(to + step * 2, f32x4.sub(d2, d1));
  v128.store(to + step * 3, f32x4.sub(d1, d3));
}

/** One tile's Bᵀ d B, for all channels; the places of the tile are `plane` bytes apart in v. */
export function inputTile2(
  addresses: usize,
  between: usize,
  bytes: usize,
  v: usize,
  plane: usize,
): void {
  for (let c: usize = 0; c < bytes; c += 16) {
    for (let row: usize = 0; row < 4; row++) {
      const at = addresses + (row << 4);
      bt(
        v128.load(load<usize>(at) + c),
        v128.load(load<usize>(at, 4) + c),
        v128.load(load<usize>(at, 8) + c),
        v128.load(load<usize>(at, 12) + c),
        between + (row << 6),
        16,
      );
    }
    for (let column: usize = 0; column < 4; column++) {
      const at = between + (column << 4);
      bt(
        v128.load(at),
        v128.load(at, 64),
        v128.load(at, 128),
        v128.load(at, 192),
        v + column * plane + c,
        plane * 4,
      );
    }
  }
}

/** Aᵀ along four numbers, first and second result. */
// @ts-ignore: decorator
@inline
function first(m0: v128, m1: v128, m2: v128): v128 {
  return f32x4.add(f32x4.add(m0, m1), m2);
}

// @ts-ignore: decorator
@inline
function second(m1: v128, m2: v128, m3: v128): v128 {
  return f32x4.sub(f32x4.sub(m1, m2), m3);
}

/** One tile's Aᵀ m A, for the channels of a range; rows and columns beyond the picture are left. */
export function outputTile2(
  out: Output,
  m: usize,
  plane: usize,
  channels: i32,
  channel: usize,
  n: usize,
  pixel: usize,
  width: usize,
  rows: i32,
  columns: i32,
): void {
  const row = plane * 4;
  const scale = f32x4.splat(out.scale), silu = out.silu;
  const step = out.pixel, down = width * step;
  const rStep = out.residualPixel, rDown = width * rStep;
  const tile = out.y + n * out.picture + pixel * step + channel;
  const rTile = out.residual
    ? out.residual + n * out.residualPicture + pixel * rStep + channel
    : 0;
  for (let k: usize = 0; k < <usize> channels << 2; k += 16) {
    const sum = added(out, n, channel + k);
    let y = tile + k, r = rTile ? rTile + k : 0;
    for (let j = 0; j < columns; j++) {
      const a = m + k + <usize> j * plane;
      const left = j == 0;
      const t0 = column(a, plane, left), t1 = column(a + row, plane, left);
      const t2 = column(a + row * 2, plane, left), t3 = column(a + row * 3, plane, left);
      finish(first(t0, t1, t2), sum, r, scale, silu, y);
      if (rows > 1) finish(second(t1, t2, t3), sum, r ? r + rDown : 0, scale, silu, y + down);
      y += step;
      if (r) r += rStep;
    }
  }
}

/** Aᵀ along a row of m: from m₀ on the first result, from m₁ on the second. */
// @ts-ignore: decorator
@inline
function column(at: usize, plane: usize, left: bool): v128 {
  const x = v128.load(at), y = v128.load(at + plane), z = v128.load(at + plane * 2);
  return left ? first(x, y, z) : second(x, y, z);
}
