// Weights and the right-hand sides of products, brought into panels of eight columns.
import { barrier, claim } from "./sync";

/** Panels [⌈rows/8⌉][k][8] of a matrix [rows][k]: its rows become columns. */
export function packRows(x: usize, rowBytes: usize, rows: i32, k: i32, to: usize): void {
  for (let row = 0; row < rows; row += 8) {
    const count = min(8, rows - row);
    if (count < 8) memory.fill(to, 0, <usize> k << 5);
    for (let i = 0; i < count; i++) {
      const from = x + <usize> (row + i) * rowBytes;
      let p = to + (<usize> i << 2);
      for (let j = 0; j < k; j++) {
        store<f32>(p, load<f32>(from + (<usize> j << 2)));
        p += 32;
      }
    }
    to += <usize> k << 5;
  }
}

/** Panels [⌈columns/8⌉][rows][8] of a matrix [rows][columns]. */
export function packColumns(x: usize, rowBytes: usize, rows: i32, columns: i32, to: usize): void {
  for (let column = 0; column < columns; column += 8) {
    const count = min(8, columns - column);
    let from = x + (<usize> column << 2);
    for (let row = 0; row < rows; row++) {
      if (count == 8) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      } else {
        for (let i = 0; i < 8; i++) {
          store<f32>(to + (<usize> i << 2), i < count ? load<f32>(from + (<usize> i << 2)) : 0);
        }
      }
      from += rowBytes;
      to += 32;
    }
  }
}

@unmanaged
export class PackConv {
  op: i32;
  words: i32;
  /** [O][C][taps]. */
  x: usize;
  y: usize;
  outChannels: i32;
  channels: i32;
  /** `channels` with the zeros that fill up a pixel. */
  padded: i32;
  taps: i32;
}

/** Panels [⌈O/8⌉][taps][padded][8]. */
export function packConv(at: usize): void {
  const c = changetype<PackConv>(at);
  const panels = (c.outChannels + 7) >> 3;
  const panelBytes = <usize> (c.taps * c.padded) << 5;
  for (let panel = claim(); panel < panels; panel = claim()) {
    const to = c.y + <usize> panel * panelBytes;
    memory.fill(to, 0, panelBytes);
    const count = min(8, c.outChannels - panel * 8);
    for (let i = 0; i < count; i++) {
      let from = c.x + (<usize> ((panel * 8 + i) * c.channels * c.taps) << 2);
      for (let k = 0; k < c.channels; k++) {
        for (let tap = 0; tap < c.taps; tap++) {
          store<f32>(to + (<usize> ((tap * c.padded + k) * 8 + i) << 2), load<f32>(from));
          from += 4;
        }
      }
    }
  }
  barrier();
}

@unmanaged
export class PackWinograd {
  op: i32;
  words: i32;
  /** [O][C][3][3]. */
  x: usize;
  y: usize;
  outChannels: i32;
  channels: i32;
  padded: i32;
  /** Outputs of a tile along a side: 2 or 4. */
  m: i32;
  /** Panels in a range. */
  range: i32;
}

/** G of three numbers `step` bytes apart, one of its m + 2 results. */
// @ts-ignore: decorator
@inline
function g(m: i32, i: i32, x0: f64, x1: f64, x2: f64): f64 {
  if (i == 0) return x0;
  if (i == m + 1) return x2;
  if (m == 2) return 0.5 * (x0 + x2 + (i == 1 ? x1 : -x1));
  if (i <= 2) {
    const odd = 0.70710678118654752 * x1;
    return -(2.0 / 3.0) * (x0 + 0.5 * x2 + (i == 1 ? odd : -odd));
  }
  const odd = 1.4142135623730951 * x1;
  return (1.0 / 6.0) * (x0 + 2 * x2 + (i == 3 ? odd : -odd));
}

/** U = G g Gᵀ as [ranges][(m+2)²][panels of the range][padded][8]. */
export function packWinograd(at: usize): void {
  const c = changetype<PackWinograd>(at);
  const size = c.m + 2, planes = size * size;
  const panels = (c.outChannels + 7) >> 3;
  const panelBytes = <usize> c.padded << 5;
  for (let panel = claim(); panel < panels; panel = claim()) {
    const range = panel / c.range, first = range * c.range;
    const inRange = min(c.range, panels - first);
    const base = c.y + <usize> (first * planes + panel - first) * panelBytes;
    const step = <usize> inRange * panelBytes;
    for (let p = 0; p < planes; p++) memory.fill(base + <usize> p * step, 0, panelBytes);
    const count = min(8, c.outChannels - panel * 8);
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < c.channels; k++) {
        const w = c.x + (<usize> (((panel * 8 + i) * c.channels + k) * 9) << 2);
        const to = base + (<usize> (k * 8 + i) << 2);
        for (let a = 0; a < size; a++) {
          const t0 = g(c.m, a, load<f32>(w), load<f32>(w, 12), load<f32>(w, 24));
          const t1 = g(c.m, a, load<f32>(w, 4), load<f32>(w, 16), load<f32>(w, 28));
          const t2 = g(c.m, a, load<f32>(w, 8), load<f32>(w, 20), load<f32>(w, 32));
          for (let b = 0; b < size; b++) {
            store<f32>(to + <usize> (a * size + b) * step, <f32> g(c.m, b, t0, t1, t2));
          }
        }
      }
    }
  }
  barrier();
}
