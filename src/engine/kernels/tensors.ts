// Operations on tensors of any strides: what is small or rare in a U-Net.
import { exp4, sigmoid4, silu4 } from "./math";
import { softmaxRow } from "./attention";
import { product } from "./gemm";
import { packColumns, packRows } from "./pack";
import { barrier, claim, thread } from "./sync";

@external("env", "log")
declare function log(x: f64): f64;
@external("env", "sin")
declare function sin(x: f64): f64;
@external("env", "cos")
declare function cos(x: f64): f64;

/** y = f(a) or f(a, b) over up to five dimensions; strides are bytes, 0 repeats. */
@unmanaged
export class Elementwise {
  op: i32;
  words: i32;
  f: i32;
  a: usize;
  b: usize;
  y: usize;
  d0: i32;
  d1: i32;
  d2: i32;
  d3: i32;
  d4: i32;
  a0: i32;
  a1: i32;
  a2: i32;
  a3: i32;
  a4: i32;
  b0: i32;
  b1: i32;
  b2: i32;
  b3: i32;
  b4: i32;
  y0: i32;
  y1: i32;
  y2: i32;
  y3: i32;
  y4: i32;
}

/** Elements of an item, at least. */
const ITEM: i32 = 8192;

/** Functions by number; those of two operands come from BINARY on. See `plan/codes.ts`. */
const BINARY: i32 = 20;

// @ts-ignore: decorator
@inline
function vector(f: i32, a: v128, b: v128): v128 {
  switch (f) {
    case 1: return f32x4.neg(a);
    case 2: return exp4(a);
    case 3: return f32x4.sqrt(a);
    case 4: return f32x4.div(f32x4.splat(1), a);
    case 5: return sigmoid4(a);
    case 6: return silu4(a);
    case 20: return f32x4.add(a, b);
    case 21: return f32x4.sub(a, b);
    case 22: return f32x4.mul(a, b);
    case 23: return f32x4.div(a, b);
    case 24: return f32x4.min(a, b);
    case 25: return f32x4.max(a, b);
    case 26: return v128.and(f32x4.le(a, b), f32x4.splat(1));
    default: return a;
  }
}

function scalar(f: i32, a: f32, b: f32): f32 {
  switch (f) {
    case 7: return <f32> log(a);
    case 8: return <f32> sin(a);
    case 9: return <f32> cos(a);
    default: return f32x4.extract_lane(vector(f, f32x4.splat(a), f32x4.splat(b)), 0);
  }
}

export function elementwise(at: usize): void {
  const c = changetype<Elementwise>(at);
  const outer = c.d0 * c.d1 * c.d2 * c.d3;
  const rows = max(1, ITEM / max(1, c.d4)), items = (outer + rows - 1) / rows;
  const two = c.f >= BINARY;
  const vectors = (c.f < 7 || two) && c.y4 == 4 && (c.a4 == 4 || c.a4 == 0) &&
    (!two || c.b4 == 4 || c.b4 == 0);
  for (let item = claim(items); item < items; item = claim(items)) {
    const first = item * rows;
    for (let row = first; row < min(first + rows, outer); row++) {
      const i3 = row % c.d3, r2 = row / c.d3, i2 = r2 % c.d2, r1 = r2 / c.d2;
      const i1 = r1 % c.d1, i0 = r1 / c.d1;
      let a = c.a + i0 * c.a0 + i1 * c.a1 + i2 * c.a2 + i3 * c.a3;
      let b = c.b + i0 * c.b0 + i1 * c.b1 + i2 * c.b2 + i3 * c.b3;
      let y = c.y + i0 * c.y0 + i1 * c.y1 + i2 * c.y2 + i3 * c.y3;
      let i = 0;
      if (vectors) {
        for (; i + 4 <= c.d4; i += 4) {
          const va = c.a4 ? v128.load(a) : v128.load32_splat(a);
          const vb = two ? (c.b4 ? v128.load(b) : v128.load32_splat(b)) : va;
          v128.store(y, vector(c.f, va, vb));
          a += 4 * c.a4;
          b += 4 * c.b4;
          y += 16;
        }
      }
      for (; i < c.d4; i++) {
        store<f32>(y, scalar(c.f, load<f32>(a), two ? load<f32>(b) : 0));
        a += c.a4;
        b += c.b4;
        y += c.y4;
      }
    }
  }
  barrier(items);
}

@unmanaged
export class Fill {
  op: i32;
  words: i32;
  y: usize;
  bytes: usize;
}

export function fill(at: usize): void {
  const c = changetype<Fill>(at);
  if (claim(1) == 0) memory.fill(c.y, 0, c.bytes);
  barrier(1);
}

/** y[i] = table[indices[i]], rows of `bytes` bytes. */
@unmanaged
export class Gather {
  op: i32;
  words: i32;
  table: usize;
  indices: usize;
  y: usize;
  count: i32;
  bytes: usize;
}

export function gather(at: usize): void {
  const c = changetype<Gather>(at);
  for (let i = claim(c.count); i < c.count; i = claim(c.count)) {
    const row = load<i32>(c.indices + (<usize> i << 2));
    memory.copy(c.y + <usize> i * c.bytes, c.table + <usize> row * c.bytes, c.bytes);
  }
  barrier(c.count);
}

/** Sums over the last two of five dimensions of x, times `factor`. */
@unmanaged
export class Reduce {
  op: i32;
  words: i32;
  x: usize;
  y: usize;
  factor: f64;
  d0: i32;
  d1: i32;
  d2: i32;
  d3: i32;
  d4: i32;
  x0: i32;
  x1: i32;
  x2: i32;
  x3: i32;
  x4: i32;
}

export function reduce(at: usize): void {
  const c = changetype<Reduce>(at);
  const outer = c.d0 * c.d1 * c.d2;
  for (let row = claim(outer); row < outer; row = claim(outer)) {
    const i2 = row % c.d2, r1 = row / c.d2, i1 = r1 % c.d1, i0 = r1 / c.d1;
    const x = c.x + i0 * c.x0 + i1 * c.x1 + i2 * c.x2;
    let sum: f64 = 0;
    for (let i = 0; i < c.d3; i++) {
      let p = x + i * c.x3;
      for (let j = 0; j < c.d4; j++) {
        sum += <f64> load<f32>(p);
        p += c.x4;
      }
    }
    store<f32>(c.y + (<usize> row << 2), <f32> (sum * c.factor));
  }
  barrier(outer);
}

/** Softmax, or its logarithm, of contiguous rows. */
@unmanaged
export class Softmax {
  op: i32;
  words: i32;
  x: usize;
  y: usize;
  rows: i32;
  columns: i32;
  logarithm: i32;
}

export function softmax(at: usize): void {
  const c = changetype<Softmax>(at);
  const bytes = <usize> c.columns << 2;
  for (let row = claim(c.rows); row < c.rows; row = claim(c.rows)) {
    const x = c.x + <usize> row * bytes, y = c.y + <usize> row * bytes;
    if (!c.logarithm) {
      memory.copy(y, x, bytes);
      softmaxRow(y, c.columns, 1);
      continue;
    }
    let most: f32 = -Infinity;
    for (let i: usize = 0; i < bytes; i += 4) most = max<f32>(most, load<f32>(x + i));
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      sum += f32x4.extract_lane(exp4(f32x4.splat(load<f32>(x + i) - most)), 0);
    }
    const shift = <f64> most + log(sum);
    for (let i: usize = 0; i < bytes; i += 4) {
      store<f32>(y + i, <f32> (<f64> load<f32>(x + i) - shift));
    }
  }
  barrier(c.rows);
}

/** Means over, or copies into, squares of pixels: [N][height][width][channels] of y. */
@unmanaged
export class Resample {
  op: i32;
  words: i32;
  x: usize;
  pixel: usize;
  picture: usize;
  y: usize;
  yPixel: usize;
  yPicture: usize;
  n: i32;
  height: i32;
  width: i32;
  /** Pixels of x from row to row. */
  xWidth: i32;
  bytes: usize;
  factor: i32;
  /** 1: y is `factor` times as large; 0: as small. */
  up: i32;
}

export function resample(at: usize): void {
  const c = changetype<Resample>(at);
  const f = c.factor, part = f32x4.splat(1 / <f32> (f * f));
  for (let item = claim(c.n * c.height); item < c.n * c.height; item = claim(c.n * c.height)) {
    const n = item / c.height, h = item - n * c.height;
    const x = c.x + <usize> n * c.picture;
    let y = c.y + <usize> n * c.yPicture + <usize> (h * c.width) * c.yPixel;
    for (let w = 0; w < c.width; w++) {
      if (c.up) {
        const from = x + <usize> (h / f * c.xWidth + w / f) * c.pixel;
        for (let k: usize = 0; k < c.bytes; k += 16) v128.store(y + k, v128.load(from + k));
      } else {
        const from = x + <usize> (h * f * c.xWidth + w * f) * c.pixel;
        for (let k: usize = 0; k < c.bytes; k += 16) {
          let sum = f32x4.splat(0);
          for (let i = 0; i < f; i++) {
            for (let j = 0; j < f; j++) {
              sum = f32x4.add(sum, v128.load(from + <usize> (i * c.xWidth + j) * c.pixel + k));
            }
          }
          v128.store(y + k, f32x4.mul(sum, part));
        }
      }
      y += c.yPixel;
    }
  }
  barrier(c.n * c.height);
}

/** y[i][j] = a[i][j]·b[i][j] for matrices over two leading dimensions. */
@unmanaged
export class Matmul {
  op: i32;
  words: i32;
  a: usize;
  aRow: usize;
  a0: usize;
  a1: usize;
  b: usize;
  bRow: usize;
  b0: usize;
  b1: usize;
  /** 1: b's rows are the columns of the product. */
  transposed: i32;
  y: usize;
  yRow: usize;
  y0: usize;
  y1: usize;
  d0: i32;
  d1: i32;
  rows: i32;
  inner: i32;
  columns: i32;
  block: i32;
  /** Panels of b for every pair of leading indices. */
  shared: usize;
  /** Each thread's own results of a block. */
  scratch: usize;
  scratchBytes: usize;
}

export function matmul(at: usize): void {
  const c = changetype<Matmul>(at);
  const all = c.d0 * c.d1, panels = (c.columns + 7) >> 3;
  const panelBytes = <usize> (panels * c.inner) << 5;
  for (let item = claim(all); item < all; item = claim(all)) {
    const i0 = item / c.d1, i1 = item - i0 * c.d1;
    const b = c.b + <usize> i0 * c.b0 + <usize> i1 * c.b1;
    const to = c.shared + <usize> item * panelBytes;
    if (c.transposed) packRows(b, c.bRow, c.columns, c.inner, to);
    else packColumns(b, c.bRow, c.inner, c.columns, to);
  }
  barrier(all);
  const blocks = (c.rows + c.block - 1) / c.block;
  const results = c.scratch + <usize> thread * c.scratchBytes;
  const row = <usize> panels << 5;
  for (let item = claim(all * blocks); item < all * blocks; item = claim(all * blocks)) {
    const pair = item / blocks, first = (item - pair * blocks) * c.block;
    const i0 = pair / c.d1, i1 = pair - i0 * c.d1;
    const count = min(c.block, c.rows - first);
    const a = c.a + <usize> i0 * c.a0 + <usize> i1 * c.a1 + <usize> first * c.aRow;
    const b = c.shared + <usize> pair * panelBytes;
    product(a, c.aRow, count, <usize> c.inner << 2, b, panels, results, row);
    let y = c.y + <usize> i0 * c.y0 + <usize> i1 * c.y1 + <usize> first * c.yRow;
    for (let i = 0; i < count; i++) {
      memory.copy(y, results + <usize> i * row, <usize> c.columns << 2);
      y += c.yRow;
    }
  }
  barrier(all * blocks);
}
