// Weights and the right-hand sides of products, brought into panels of eight columns.
import { barrier, claim, thread } from "./sync";
import { transformKernels } from "./winograd_weights";

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
  /** 1: as 16-bit floats, which have to hold the numbers exactly. */
  half: i32;
}

/** Panels [⌈O/8⌉][taps][padded][8]. */
export function packConv(at: usize): void {
  const c = changetype<PackConv>(at);
  const panels = (c.outChannels + 7) >> 3;
  const panelBytes = <usize> (c.taps * c.padded) << (c.half ? 4 : 5);
  for (let panel = claim(panels); panel < panels; panel = claim(panels)) {
    const to = c.y + <usize> panel * panelBytes;
    memory.fill(to, 0, panelBytes);
    const count = min(8, c.outChannels - panel * 8);
    for (let i = 0; i < count; i++) {
      let from = c.x + (<usize> ((panel * 8 + i) * c.channels * c.taps) << 2);
      for (let k = 0; k < c.channels; k++) {
        for (let tap = 0; tap < c.taps; tap++) {
          const at = <usize> ((tap * c.padded + k) * 8 + i);
          if (c.half) store<u16>(to + (at << 1), halfOf(from));
          else store<f32>(to + (at << 2), load<f32>(from));
          from += 4;
        }
      }
    }
  }
  barrier(panels);
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
  /** Each thread's 9·8 numbers of one channel, and as much again. */
  scratch: usize;
  scratchBytes: usize;
}

/** U = G g Gᵀ as [ranges][(m+2)²][panels of the range][padded][8]. */
export function packWinograd(at: usize): void {
  const c = changetype<PackWinograd>(at);
  const size = c.m + 2, planes = size * size;
  const panels = (c.outChannels + 7) >> 3;
  const panelBytes = <usize> c.padded << 5;
  const taps = c.scratch + <usize> thread * c.scratchBytes;
  for (let panel = claim(panels); panel < panels; panel = claim(panels)) {
    const range = panel / c.range, first = range * c.range;
    const inRange = min(c.range, panels - first);
    const base = c.y + <usize> (first * planes + panel - first) * panelBytes;
    const step = <usize> inRange * panelBytes;
    for (let k = 0; k < c.channels; k++) {
      gatherTaps(c.x, c.outChannels, c.channels, panel, k, taps);
      transformKernels(c.m, taps, taps + 288, base + (<usize> k << 5), step);
    }
  }
  barrier(panels);
}

/** The nine numbers of eight kernels, [9][8], of one channel; zeros beyond the last. */
function gatherTaps(
  x: usize,
  outChannels: i32,
  channels: i32,
  panel: i32,
  channel: i32,
  to: usize,
): void {
  for (let i = 0; i < 8; i++) {
    const out = panel * 8 + i;
    const from = x + (<usize> ((out * channels + channel) * 9) << 2);
    for (let tap: usize = 0; tap < 9; tap++) {
      const v = out < outChannels ? load<f32>(from + (tap << 2)) : 0;
      store<f32>(to + (tap << 5) + (<usize> i << 2), v);
    }
  }
}

@unmanaged
export class PackKernels {
  op: i32;
  words: i32;
  /** [O][C][3][3]. */
  x: usize;
  y: usize;
  outChannels: i32;
  channels: i32;
  /** 1: as 16-bit floats, which have to hold the numbers exactly. */
  half: i32;
  scratch: usize;
  scratchBytes: usize;
}

/** Kernels as they are, [⌈O/8⌉][C][9][8], to be transformed whenever they are used. */
export function packKernels(at: usize): void {
  const c = changetype<PackKernels>(at);
  const panels = (c.outChannels + 7) >> 3;
  const bytes: usize = c.half ? 144 : 288;
  const taps = c.scratch + <usize> thread * c.scratchBytes;
  for (let panel = claim(panels); panel < panels; panel = claim(panels)) {
    let to = c.y + <usize> (panel * c.channels) * bytes;
    for (let k = 0; k < c.channels; k++) {
      gatherTaps(c.x, c.outChannels, c.channels, panel, k, taps);
      if (c.half) {
        for (let i: usize = 0; i < 72; i++) store<u16>(to + (i << 1), halfOf(taps + (i << 2)));
      } else memory.copy(to, taps, 288);
      to += bytes;
    }
  }
  barrier(panels);
}

/** The 16-bit float that is the float32 at an address. */
function halfOf(at: usize): u16 {
  const bits = load<u32>(at), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴.
  if (magnitude < 0x38800000) return <u16> (sign | <u32> (Mathf.abs(load<f32>(at)) * 16777216));
  return <u16> (sign | ((magnitude - 0x38000000) >> 13));
}
