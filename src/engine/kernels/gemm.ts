// Products of a few rows with a panel of eight columns. Every sum runs over k in ascending order in
// one accumulator, whichever function computes it: a row's bits depend on nothing but the row.
import { madd } from "./math";

/**
 * Six rows a, a + stride, … of k numbers times a panel [k][8], to six rows at c. One step of k at a
 * time: V8 keeps the twelve accumulators of this loop in registers, and spills those of longer ones.
 */
// @ts-ignore: decorator
@inline
export function rows6(
  a: usize,
  stride: usize,
  bytes: usize,
  b: usize,
  c: usize,
  cStride: usize,
): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero, c20 = zero, c21 = zero;
  let c30 = zero, c31 = zero, c40 = zero, c41 = zero, c50 = zero, c51 = zero;
  const s2 = stride * 2, s3 = stride * 3, s4 = stride * 4, s5 = stride * 5;
  const end = a + bytes;
  let p = a, q = b;
  while (p < end) {
    const b0 = v128.load(q), b1 = v128.load(q, 16);
    let x = v128.load32_splat(p);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + stride);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    p += 4;
    q += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += cStride;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += cStride;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += cStride;
  v128.store(c, c30);
  v128.store(c, c31, 16);
  c += cStride;
  v128.store(c, c40);
  v128.store(c, c41, 16);
  c += cStride;
  v128.store(c, c50);
  v128.store(c, c51, 16);
}

/** `rows6` for four rows. */
// @ts-ignore: decorator
@inline
export function rows4(
  a: usize,
  stride: usize,
  bytes: usize,
  b: usize,
  c: usize,
  cStride: usize,
): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
  let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
  const s2 = stride * 2, s3 = stride * 3;
  const end = a + bytes;
  let p = a, q = b;
  while (p < end) {
    const b0 = v128.load(q), b1 = v128.load(q, 16);
    let x = v128.load32_splat(p);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + stride);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    p += 4;
    q += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += cStride;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += cStride;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += cStride;
  v128.store(c, c30);
  v128.store(c, c31, 16);
}

/**
 * Six rows in pieces, `taps` of them of `bytes` each: the pieces of tap i begin at the addresses
 * at[8i … 8i + 5]. Times a panel [taps·k][8], to six rows of eight at c.
 */
export function pieces6(at: usize, taps: i32, bytes: usize, b: usize, c: usize): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero, c20 = zero, c21 = zero;
  let c30 = zero, c31 = zero, c40 = zero, c41 = zero, c50 = zero, c51 = zero;
  let q = b;
  for (let tap = 0; tap < taps; tap++) {
    let p = load<usize>(at);
    const s1 = load<usize>(at, 4) - p, s2 = load<usize>(at, 8) - p, s3 = load<usize>(at, 12) - p;
    const s4 = load<usize>(at, 16) - p, s5 = load<usize>(at, 20) - p;
    const end = p + bytes;
    while (p < end) {
      const b0 = v128.load(q), b1 = v128.load(q, 16);
      let x = v128.load32_splat(p);
      c00 = madd(x, b0, c00);
      c01 = madd(x, b1, c01);
      x = v128.load32_splat(p + s1);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
      x = v128.load32_splat(p + s2);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
      x = v128.load32_splat(p + s3);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
      x = v128.load32_splat(p + s4);
      c40 = madd(x, b0, c40);
      c41 = madd(x, b1, c41);
      x = v128.load32_splat(p + s5);
      c50 = madd(x, b0, c50);
      c51 = madd(x, b1, c51);
      p += 4;
      q += 32;
    }
    at += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c10, 32);
  v128.store(c, c11, 48);
  v128.store(c, c20, 64);
  v128.store(c, c21, 80);
  v128.store(c, c30, 96);
  v128.store(c, c31, 112);
  v128.store(c, c40, 128);
  v128.store(c, c41, 144);
  v128.store(c, c50, 160);
  v128.store(c, c51, 176);
}

/** `pieces6` for four rows. */
export function pieces4(at: usize, taps: i32, bytes: usize, b: usize, c: usize): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
  let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
  let q = b;
  for (let tap = 0; tap < taps; tap++) {
    let p = load<usize>(at);
    const s1 = load<usize>(at, 4) - p, s2 = load<usize>(at, 8) - p, s3 = load<usize>(at, 12) - p;
    const end = p + bytes;
    while (p < end) {
      const b0 = v128.load(q), b1 = v128.load(q, 16);
      let x = v128.load32_splat(p);
      c00 = madd(x, b0, c00);
      c01 = madd(x, b1, c01);
      x = v128.load32_splat(p + s1);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
      x = v128.load32_splat(p + s2);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
      x = v128.load32_splat(p + s3);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
      p += 4;
      q += 32;
    }
    at += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c10, 32);
  v128.store(c, c11, 48);
  v128.store(c, c20, 64);
  v128.store(c, c21, 80);
  v128.store(c, c30, 96);
  v128.store(c, c31, 112);
}

/** How many of `left` rows to take at once: six, or four where that leaves less over. */
// @ts-ignore: decorator
@inline
export function rowsAtOnce(left: i32): i32 {
  return left <= 4 || left == 7 || left == 8 ? 4 : 6;
}

/**
 * C = A·B for `rows` rows, in groups of six or four: up to five rows more than there are are read
 * and written, so there must be room behind both.
 */
export function product(
  a: usize,
  aStride: usize,
  rows: i32,
  bytes: usize,
  b: usize,
  panels: i32,
  c: usize,
  cStride: usize,
): void {
  const panelBytes = bytes << 3;
  for (let panel = 0; panel < panels; panel++) {
    let row = 0;
    let pa = a, pc = c;
    while (row < rows) {
      const now = rowsAtOnce(rows - row);
      if (now == 6) rows6(pa, aStride, bytes, b, pc, cStride);
      else rows4(pa, aStride, bytes, b, pc, cStride);
      row += now;
      pa += <usize> now * aStride;
      pc += <usize> now * cStride;
    }
    b += panelBytes;
    c += 32;
  }
}

/**
 * What this machine can do at most in SIMD: 12 independent sums, `rounds` multiply-adds each on four
 * numbers, which are no constants of the code for the reason in `constants.ts`. For benchmarks.
 */
export function peak(rounds: i32, u: f32, v: f32): f32 {
  const x = f32x4.splat(u), y = f32x4.splat(v);
  let a = x, b = y, c = x, d = y, e = x, f = y, g = x, h = y, i = x, j = y, k = x, l = y;
  for (let n = 0; n < rounds; n++) {
    a = madd(x, y, a);
    b = madd(x, y, b);
    c = madd(x, y, c);
    d = madd(x, y, d);
    e = madd(x, y, e);
    f = madd(x, y, f);
    g = madd(x, y, g);
    h = madd(x, y, h);
    i = madd(x, y, i);
    j = madd(x, y, j);
    k = madd(x, y, k);
    l = madd(x, y, l);
  }
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(e, f));
  g = f32x4.add(f32x4.add(f32x4.add(g, h), f32x4.add(i, j)), f32x4.add(k, l));
  return f32x4.extract_lane(f32x4.add(a, g), 0);
}
