// softmax(q·kᵀ·scale)·v, a block of query rows at a time: the scores never leave the cache.
import { expWithin4, max4, sum4 } from "./math";
import { product } from "./gemm";
import { packColumns, packRows } from "./pack";
import { barrier, claim, thread } from "./sync";

@unmanaged
export class Attention {
  op: i32;
  words: i32;
  /** q, k, v, y [N][heads][rows][d]: bytes from row to row, head to head, picture to picture. */
  q: usize;
  qRow: usize;
  qHead: usize;
  qPicture: usize;
  k: usize;
  kRow: usize;
  kHead: usize;
  kPicture: usize;
  v: usize;
  vRow: usize;
  vHead: usize;
  vPicture: usize;
  y: usize;
  yRow: usize;
  yHead: usize;
  yPicture: usize;
  n: i32;
  heads: i32;
  rows: i32;
  keys: i32;
  /** Numbers of a row of q and k, and of one of v and y. */
  d: i32;
  dv: i32;
  scale: f32;
  /** Query rows of an item. */
  block: i32;
  /** Panels of kᵀ and of v for every head of every picture. */
  shared: usize;
  /** Each thread's own: scores [block][⌈keys⌉], results [block][⌈dv⌉]. */
  scratch: usize;
  scratchBytes: usize;
}

/** Rows that `product` may write beyond a block. */
const SPARE: i32 = 5;

export function attention(at: usize): void {
  const c = changetype<Attention>(at);
  const all = c.n * c.heads;
  const keyPanels = (c.keys + 7) >> 3, valuePanels = (c.dv + 7) >> 3;
  const kBytes = <usize> (keyPanels * c.d) << 5, vBytes = <usize> (valuePanels * c.keys) << 5;
  for (let item = claim(all * 2); item < all * 2; item = claim(all * 2)) {
    const pair = item >> 1, n = pair / c.heads, head = pair - n * c.heads;
    const to = c.shared + <usize> pair * (kBytes + vBytes);
    if (item & 1) {
      const v = c.v + <usize> n * c.vPicture + <usize> head * c.vHead;
      packColumns(v, c.vRow, c.keys, c.dv, to + kBytes);
    } else {
      packRows(c.k + <usize> n * c.kPicture + <usize> head * c.kHead, c.kRow, c.keys, c.d, to);
    }
  }
  barrier(all * 2);

  const scoreRow = <usize> keyPanels << 5, resultRow = <usize> valuePanels << 5;
  const scores = c.scratch + <usize> thread * c.scratchBytes;
  const results = scores + <usize> (c.block + SPARE) * scoreRow;
  const blocks = (c.rows + c.block - 1) / c.block;
  for (let item = claim(all * blocks); item < all * blocks; item = claim(all * blocks)) {
    const pair = item / blocks, first = (item - pair * blocks) * c.block;
    const n = pair / c.heads, head = pair - n * c.heads;
    const count = min(c.block, c.rows - first);
    const panels = c.shared + <usize> pair * (kBytes + vBytes);
    const q = c.q + <usize> n * c.qPicture + <usize> head * c.qHead + <usize> first * c.qRow;
    product(q, c.qRow, count, <usize> c.d << 2, panels, keyPanels, scores, scoreRow);
    for (let i = 0; i < count; i++) {
      softmaxRow(scores + <usize> i * scoreRow, c.keys, c.scale);
    }
    const keys = <usize> c.keys << 2;
    product(scores, scoreRow, count, keys, panels + kBytes, valuePanels, results, resultRow);
    let y = c.y + <usize> n * c.yPicture + <usize> head * c.yHead + <usize> first * c.yRow;
    for (let i = 0; i < count; i++) {
      memory.copy(y, results + <usize> i * resultRow, <usize> c.dv << 2);
      y += c.yRow;
    }
  }
  barrier(all * blocks);
}

/** softmax(x·scale) of `count` numbers in place; up to three behind them are overwritten. */
export function softmaxRow(x: usize, count: i32, scale: f32): void {
  const end = x + (<usize> count << 2), whole = x + (<usize> (count & ~3) << 2);
  const factor = f32x4.splat(scale);
  let most4 = f32x4.splat(-Infinity);
  let p = x;
  for (; p < whole; p += 16) {
    const v = f32x4.mul(v128.load(p), factor);
    v128.store(p, v);
    most4 = f32x4.pmax(most4, v);
  }
  let most = max4(most4);
  for (; p < end; p += 4) {
    const v = load<f32>(p) * scale;
    store<f32>(p, v);
    most = max<f32>(most, v);
  }
  const shift = f32x4.splat(most);
  let sum = f32x4.splat(0);
  for (p = x; p < whole; p += 16) {
    const v = expWithin4(f32x4.sub(v128.load(p), shift));
    v128.store(p, v);
    sum = f32x4.add(sum, v);
  }
  let total = sum4(sum);
  for (; p < end; p += 4) {
    const v = f32x4.extract_lane(expWithin4(f32x4.splat(load<f32>(p) - most)), 0);
    store<f32>(p, v);
    total += v;
  }
  const inverse = f32x4.splat(1 / total);
  for (p = x; p < whole; p += 16) v128.store(p, f32x4.mul(v128.load(p), inverse));
  for (; p < end; p += 4) store<f32>(p, load<f32>(p) / total);
}
