// Convolutions of any kernel, stride and padding, 1×1 ones and linear layers: matrix products whose
// rows are pieces of the picture, found by address, and copied only where pieces are short.
import { rows4, rows6, rowsAtOnce } from "./gemm";
import { added, finish, Output } from "./output";
import { barrier, claim, thread } from "./sync";
import { widen } from "./winograd_weights";

@unmanaged
export class Conv {
  op: i32;
  words: i32;
  /** Pictures x [N][height][width][channels]: bytes from pixel to pixel, picture to picture. */
  x: usize;
  pixel: usize;
  picture: usize;
  height: i32;
  width: i32;
  /** Bytes of a pixel's channels that are multiplied. */
  bytes: usize;
  kernelHeight: i32;
  kernelWidth: i32;
  stride: i32;
  top: i32;
  left: i32;
  /** 1: x is read as if every pixel were a square of 2×2. */
  up: i32;
  n: i32;
  outHeight: i32;
  outWidth: i32;
  /** Panels [⌈O/8⌉][taps·channels][8]. */
  weights: usize;
  /** 1: they are in 16 bits. */
  half: i32;
  outChannels: i32;
  /** Rows and panels of an item. */
  rowBlock: i32;
  panelBlock: i32;
  /** As many zeros as a pixel has bytes. */
  zeros: usize;
  /** 1: the pieces of a row are copied, one behind the other. */
  copied: i32;
  /** Each thread's own: results, a panel where weights are in 16 bits, then a row block's addresses or copies. */
  scratch: usize;
  scratchBytes: usize;
  out: Output;
}

/**
 * Where the pieces of `rows` rows from `row` on are, [taps][8] addresses, or the pieces themselves,
 * [rows][taps·channels]. The last row is repeated up to `lanes`.
 */
function locate(c: Conv, at: usize, row: i32, rows: i32, lanes: i32): void {
  const pixels = c.outHeight * c.outWidth;
  for (let i = 0; i < lanes; i++) {
    const r = row + min(i, rows - 1);
    const n = r / pixels, pixel = r - n * pixels;
    const oh = pixel / c.outWidth, ow = pixel - oh * c.outWidth;
    const base = c.x + <usize> n * c.picture;
    const h0 = oh * c.stride - c.top, w0 = ow * c.stride - c.left;
    let to = c.copied ? at : at + (<usize> i << 2);
    for (let kh = 0; kh < c.kernelHeight; kh++) {
      const h = h0 + kh;
      for (let kw = 0; kw < c.kernelWidth; kw++) {
        const w = w0 + kw;
        const inside = <u32> h < <u32> (c.height << c.up) && <u32> w < <u32> (c.width << c.up);
        const address = inside
          ? base + <usize> ((h >> c.up) * c.width + (w >> c.up)) * c.pixel
          : c.zeros;
        if (c.copied) {
          for (let k: usize = 0; k < c.bytes; k += 4) store<f32>(to + k, load<f32>(address + k));
          to += c.bytes;
        } else {
          store<usize>(to, address);
          to += 32;
        }
      }
    }
    if (c.copied) at = to;
  }
}

/** Six or four rows that `locate` has found, times a panel, to rows at `to`. */
function multiply(c: Conv, six: bool, at: usize, taps: i32, b: usize, to: usize): void {
  if (c.copied) {
    const s = c.bytes * taps, s2 = s * 2, s3 = s * 3;
    if (six) rows6(at, s, s2, s3, s * 4, s * 5, s, b, to, 32, false);
    else rows4(at, s, s2, s3, s, b, to, 32, false);
    return;
  }
  for (let tap = 0; tap < taps; tap++) {
    const p = load<usize>(at);
    const s1 = load<usize>(at, 4) - p, s2 = load<usize>(at, 8) - p, s3 = load<usize>(at, 12) - p;
    if (six) {
      const s4 = load<usize>(at, 16) - p, s5 = load<usize>(at, 20) - p;
      rows6(p, s1, s2, s3, s4, s5, c.bytes, b, to, 32, tap > 0);
    } else rows4(p, s1, s2, s3, c.bytes, b, to, 32, tap > 0);
    at += 32;
    b += c.bytes << 3;
  }
}

export function conv(at: usize): void {
  const c = changetype<Conv>(at);
  const out = changetype<Output>(at + offsetof<Conv>("out"));
  const rows = c.n * c.outHeight * c.outWidth, pixels = c.outHeight * c.outWidth;
  const taps = c.kernelHeight * c.kernelWidth;
  const panels = (c.outChannels + 7) >> 3;
  const blocks = (rows + c.rowBlock - 1) / c.rowBlock;
  const parts = (panels + c.panelBlock - 1) / c.panelBlock;
  const panelBytes = (c.bytes << 3) * taps;
  const result = c.scratch + <usize> thread * c.scratchBytes;
  const wide = result + 192;
  const table = c.half ? wide + panelBytes : wide;
  const oneRow = c.bytes * taps;
  const scale = f32x4.splat(out.scale), silu = out.silu;

  for (let item = claim(blocks * parts); item < blocks * parts; item = claim(blocks * parts)) {
    const part = item / blocks, first = (item - part * blocks) * c.rowBlock;
    const last = min(first + c.rowBlock, rows);
    let to = table;
    for (let row = first; row < last;) {
      const now = rowsAtOnce(last - row);
      locate(c, to, row, last - row, now);
      to += c.copied ? oneRow * now : <usize> taps << 5;
      row += now;
    }
    const endPanel = min((part + 1) * c.panelBlock, panels);
    for (let panel = part * c.panelBlock; panel < endPanel; panel++) {
      let b = c.weights + <usize> panel * (c.half ? panelBytes >> 1 : panelBytes);
      if (c.half) {
        for (let i: usize = 0; i < panelBytes; i += 32) widen(b + (i >> 1), wide + i);
        b = wide;
      }
      const channel = <usize> panel << 5;
      const both = panel * 8 + 4 < c.outChannels;
      let from = table;
      for (let row = first; row < last;) {
        const now = rowsAtOnce(last - row);
        multiply(c, now == 6, from, taps, b, result);
        from += c.copied ? oneRow * now : <usize> taps << 5;
        const count = min(now, last - row);
        let n = row / pixels, pixel = row - n * pixels;
        for (let i = 0; i < count; i++) {
          const v = result + (<usize> i << 5);
          const y = out.y + <usize> n * out.picture + <usize> pixel * out.pixel + channel;
          let r: usize = 0;
          if (out.residual) {
            r = out.residual + <usize> n * out.residualPicture +
              <usize> pixel * out.residualPixel + channel;
          }
          finish(v128.load(v), added(out, n, channel), r, scale, silu, y);
          if (both) {
            const sum = added(out, n, channel + 16);
            finish(v128.load(v, 16), sum, r ? r + 16 : 0, scale, silu, y + 16);
          }
          if (++pixel == pixels) {
            pixel = 0;
            n++;
          }
        }
        row += now;
      }
    }
  }
  barrier(blocks * parts);
}
