// 3×3 convolutions of stride 1 as Winograd's F(m×m, 3×3): Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for every tile
// of m×m outputs, where the ⊙ summed over channels is one matrix product a place in the tile.
// Source: Lavin & Gray 2016, §4.1.
import { product } from "./gemm";
import { Output } from "./output";
import { barrier, claim, thread } from "./sync";
import { transformRange } from "./winograd_weights";
import { inputTile2, outputTile2 } from "./winograd2";
import { inputTile4, outputTile4 } from "./winograd4";

@unmanaged
export class Winograd {
  op: i32;
  words: i32;
  /** Pictures x [N][height][width][channels]: bytes from pixel to pixel, picture to picture. */
  x: usize;
  pixel: usize;
  picture: usize;
  /** Of the picture that is convolved; x has half of both where `up` is 1. */
  height: i32;
  width: i32;
  bytes: usize;
  up: i32;
  n: i32;
  /** Outputs of a tile along a side: 2 or 4. */
  m: i32;
  /** U [ranges][(m+2)²][panels of the range][channels][8], or what it is made of. */
  weights: usize;
  /** 0: U. Otherwise kernels [panels][channels][9][8], in 32 bits (1) or 16 (2). */
  compact: i32;
  outChannels: i32;
  /** Panels in a range of columns. */
  range: i32;
  /** Tiles of a block. */
  block: i32;
  /** 1: V of all tiles first, then ranges in parallel; for few tiles. */
  apart: i32;
  zeros: usize;
  /** V of all tiles, where `apart`. */
  shared: usize;
  /** Each thread's own: addresses and a tile in between, then V of a block, then M of a range. */
  scratch: usize;
  scratchBytes: usize;
  out: Output;
}

/** Addresses of the (m+2)² inputs of a tile, and half-transformed numbers. */
const TILE_BYTES: usize = 36 * 4 + 16 + 36 * 16;

/** V's rows `row`… of the tiles from `first` on. Planes of V are `plane` bytes apart. */
function transformInputs(c: Winograd, v: usize, plane: usize, first: i32, last: i32): void {
  const m = c.m, size = m + 2;
  const across = (c.width + m - 1) / m, down = (c.height + m - 1) / m, tiles = across * down;
  const addresses = c.scratch + <usize> thread * c.scratchBytes;
  const between = addresses + 160;
  const width = c.width >> c.up;
  for (let tile = first; tile < last; tile++) {
    const n = tile / tiles, within = tile - n * tiles;
    const i = within / across, j = within - i * across;
    const base = c.x + <usize> n * c.picture;
    const h0 = i * m - 1, w0 = j * m - 1;
    let to = addresses;
    for (let a = 0; a < size; a++) {
      const h = h0 + a;
      const row = base + <usize> ((h >> c.up) * width) * c.pixel;
      for (let b = 0; b < size; b++) {
        const w = w0 + b;
        const inside = <u32> h < <u32> c.height && <u32> w < <u32> c.width;
        store<usize>(to, inside ? row + <usize> (w >> c.up) * c.pixel : c.zeros);
        to += 4;
      }
    }
    if (m == 4) inputTile4(addresses, between, c.bytes, v, plane);
    else inputTile2(addresses, between, c.bytes, v, plane);
    v += c.bytes;
  }
}

/** M of a range of columns for a block of tiles, and from it y. */
function finishRange(
  c: Winograd,
  out: Output,
  v: usize,
  plane: usize,
  u: usize,
  m: usize,
  range: i32,
  first: i32,
  last: i32,
): void {
  const size = c.m + 2, planes = size * size;
  const panels = (c.outChannels + 7) >> 3;
  const begin = range * c.range, count = min(c.range, panels - begin);
  const row = <usize> count << 5;
  // Planes end up in different places of the cache.
  const mPlane = <usize> (c.block + 5) * row + 64;
  let to = m, from = v;
  for (let p = 0; p < planes; p++) {
    product(from, c.bytes, last - first, c.bytes, u, count, to, row);
    u += <usize> count * (c.bytes << 3);
    from += plane;
    to += mPlane;
  }
  const side = c.m;
  const across = (c.width + side - 1) / side, tiles = across * ((c.height + side - 1) / side);
  const channels = min(count << 3, c.outChannels - (begin << 3));
  const channel = <usize> begin << 5;
  const between = c.scratch + <usize> thread * c.scratchBytes + 160;
  for (let tile = first; tile < last; tile++) {
    const n = tile / tiles, within = tile - n * tiles;
    const i = within / across, j = within - i * across;
    const rows = min(side, c.height - i * side), columns = min(side, c.width - j * side);
    const pixel = i * side * c.width + j * side;
    if (side == 4) {
      outputTile4(out, m, mPlane, between, channels, channel, n, pixel, c.width, rows, columns);
    } else {
      outputTile2(out, m, mPlane, channels, channel, n, pixel, c.width, rows, columns);
    }
    m += row;
  }
}

// @ts-ignore: decorator
@inline
function uOf(c: Winograd, range: i32): usize {
  const planes = (c.m + 2) * (c.m + 2);
  return c.weights + <usize> (range * c.range * planes) * (c.bytes << 3);
}

/** Makes U of a range in the thread's own memory, behind M at `m`. */
function rangeOf(c: Winograd, range: i32, m: usize): usize {
  const panels = (c.outChannels + 7) >> 3, begin = range * c.range;
  const count = min(c.range, panels - begin), channels = <i32> (c.bytes >> 2);
  const planes = (c.m + 2) * (c.m + 2);
  const taps = m + <usize> planes * (<usize> (c.block + 5) * (<usize> c.range << 5) + 64);
  const to = taps + 640, half = c.compact == 2;
  const from = c.weights + <usize> (begin * channels) * (half ? 144 : 288);
  transformRange(c.m, from, half, count, channels, taps, to);
  return to;
}

export function winograd(at: usize): void {
  const c = changetype<Winograd>(at);
  const out = changetype<Output>(at + offsetof<Winograd>("out"));
  const m = c.m, planes = (m + 2) * (m + 2);
  const tiles = c.n * ((c.width + m - 1) / m) * ((c.height + m - 1) / m);
  const ranges = (((c.outChannels + 7) >> 3) + c.range - 1) / c.range;
  const own = c.scratch + <usize> thread * c.scratchBytes + TILE_BYTES;
  const blocks = (tiles + c.block - 1) / c.block;

  if (c.apart) {
    const plane = <usize> (tiles + 5) * c.bytes + 64;
    for (let tile = claim(tiles); tile < tiles; tile = claim(tiles)) {
      transformInputs(c, c.shared + <usize> tile * c.bytes, plane, tile, tile + 1);
    }
    barrier(tiles);
    // U that is made on the way serves all blocks of tiles.
    const parts = c.compact ? 1 : blocks;
    const items = parts * ranges;
    for (let item = claim(items); item < items; item = claim(items)) {
      const range = item / parts;
      let block = item - range * parts;
      const end = c.compact ? blocks : block + 1;
      const u = c.compact ? rangeOf(c, range, own) : uOf(c, range);
      for (; block < end; block++) {
        const first = block * c.block;
        const v = c.shared + <usize> first * c.bytes;
        finishRange(c, out, v, plane, u, own, range, first, min(first + c.block, tiles));
      }
    }
    barrier(items);
  } else {
    const plane = <usize> (c.block + 5) * c.bytes + 64;
    const mOwn = own + plane * planes;
    for (let block = claim(blocks); block < blocks; block = claim(blocks)) {
      const first = block * c.block, last = min(first + c.block, tiles);
      transformInputs(c, own, plane, first, last);
      for (let range = 0; range < ranges; range++) {
        finishRange(c, out, own, plane, uOf(c, range), mOwn, range, first, last);
      }
    }
    barrier(blocks);
  }
}
