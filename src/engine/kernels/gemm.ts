// Products of a few rows with a panel of eight columns. Every sum runs over k in ascending order in
// one accumulator, whichever function computes it: a row's bits depend on nothing but the row.
import { madd } from "./math";

/**
 * Six rows of k numbers, at a, a + s1, … a + s5, times a panel [k][8], to six rows at c; `more` adds
 * to what is there. Four steps of k are written out, each with the variables of the one before and
 * its addresses made from them: compilers then leave the steps in this order, in which V8 has registers
 * for all sums. Its checks of every address are what takes time beside the arithmetic.
 */
export function rows6(
  a: usize,
  s1: usize,
  s2: usize,
  s3: usize,
  s4: usize,
  s5: usize,
  bytes: usize,
  b: usize,
  c: usize,
  cStride: usize,
  more: bool,
): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
  let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
  let c40 = zero, c41 = zero, c50 = zero, c51 = zero;
  if (more) {
    let at = c;
    c00 = v128.load(at), c01 = v128.load(at, 16);
    at += cStride;
    c10 = v128.load(at), c11 = v128.load(at, 16);
    at += cStride;
    c20 = v128.load(at), c21 = v128.load(at, 16);
    at += cStride;
    c30 = v128.load(at), c31 = v128.load(at, 16);
    at += cStride;
    c40 = v128.load(at), c41 = v128.load(at, 16);
    at += cStride;
    c50 = v128.load(at), c51 = v128.load(at, 16);
  }
  let x = zero, b0 = zero, b1 = zero, p = a, q = b;
  const end = a + bytes, whole = a + (bytes & ~15);
  while (p < whole) {
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4), c40 = madd(x, b0, c40), c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5), c50 = madd(x, b0, c50), c51 = madd(x, b1, c51);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4), c40 = madd(x, b0, c40), c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5), c50 = madd(x, b0, c50), c51 = madd(x, b1, c51);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4), c40 = madd(x, b0, c40), c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5), c50 = madd(x, b0, c50), c51 = madd(x, b1, c51);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4), c40 = madd(x, b0, c40), c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5), c50 = madd(x, b0, c50), c51 = madd(x, b1, c51);
    p += 4, q += 32;
  }
  while (p < end) {
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    x = v128.load32_splat(p + s4), c40 = madd(x, b0, c40), c41 = madd(x, b1, c41);
    x = v128.load32_splat(p + s5), c50 = madd(x, b0, c50), c51 = madd(x, b1, c51);
    p += 4, q += 32;
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
export function rows4(
  a: usize,
  s1: usize,
  s2: usize,
  s3: usize,
  bytes: usize,
  b: usize,
  c: usize,
  cStride: usize,
  more: bool,
): void {
  const zero = f32x4.splat(0);
  let c00 = zero, c01 = zero, c10 = zero, c11 = zero;
  let c20 = zero, c21 = zero, c30 = zero, c31 = zero;
  if (more) {
    let at = c;
    c00 = v128.load(at), c01 = v128.load(at, 16);
    at += cStride;
    c10 = v128.load(at), c11 = v128.load(at, 16);
    at += cStride;
    c20 = v128.load(at), c21 = v128.load(at, 16);
    at += cStride;
    c30 = v128.load(at), c31 = v128.load(at, 16);
  }
  let x = zero, b0 = zero, b1 = zero, p = a, q = b;
  const end = a + bytes, whole = a + (bytes & ~15);
  while (p < whole) {
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    p += 4, q += 32;
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    p += 4, q += 32;
  }
  while (p < end) {
    b0 = v128.load(q), b1 = v128.load(q, 16);
    x = v128.load32_splat(p), c00 = madd(x, b0, c00), c01 = madd(x, b1, c01);
    x = v128.load32_splat(p + s1), c10 = madd(x, b0, c10), c11 = madd(x, b1, c11);
    x = v128.load32_splat(p + s2), c20 = madd(x, b0, c20), c21 = madd(x, b1, c21);
    x = v128.load32_splat(p + s3), c30 = madd(x, b0, c30), c31 = madd(x, b1, c31);
    p += 4, q += 32;
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
  const panelBytes = bytes << 3, s2 = aStride * 2, s3 = aStride * 3;
  for (let panel = 0; panel < panels; panel++) {
    let row = 0;
    let pa = a, pc = c;
    while (row < rows) {
      const now = rowsAtOnce(rows - row);
      if (now == 6) {
        rows6(pa, aStride, s2, s3, aStride * 4, aStride * 5, bytes, b, pc, cStride, false);
      } else rows4(pa, aStride, s2, s3, bytes, b, pc, cStride, false);
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
