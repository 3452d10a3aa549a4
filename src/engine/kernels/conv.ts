// Convolutions of any kernel, stride and padding, 1×1 ones and linear layers: matrix products whose
// rows are pieces of the picture, found by address and never copied.
import { pieces4, pieces6, rowsAtOnce } from "./gemm";
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
  /** Each thread's own memory: results, a panel where weights are in 16 bits, addresses of a row block. */
  scratch: usize;
  scratchBytes: usize;
  out: Output;
}

/** Fills in the addresses of the pieces of `rows` rows from `row` on, repeating the last. */
function locate(c: Conv, at: usize, row: i32, rows: i32, lanes: i32): void {
  const pixels = c.outHeight * c.outWidth;
  for (let i = 0; i < lanes; i++) {
    const r = row + min(i, rows - 1);
    const n = r / pixels, pixel = r - n * pixels;
    const oh = pixel / c.outWidth, ow = pixel - oh * c.outWidth;
    const base = c.x + <usize> n * c.picture;
    const h0 = oh * c.stride - c.top, w0 = ow * c.stride - c.left;
    let to = at + (<usize> i << 2);
    for (let kh = 0; kh < c.kernelHeight; kh++) {
      const h = h0 + kh;
      for (let kw = 0; kw < c.kernelWidth; kw++) {
        const w = w0 + kw;
        const inside = <u32> h < <u32> (c.height << c.up) && <u32> w < <u32> (c.width << c.up);
        const address = inside
          ? base + <usize> ((h >> c.up) * c.width + (w >> c.up)) * c.pixel
          : c.zeros;
        store<usize>(to, address);
        to += 32;
      }
    }
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
  const tableBytes = <usize> taps << 5;
  const scale = f32x4.splat(out.scale), silu = out.silu;

  for (let item = claim(blocks * parts); item < blocks * parts; item = claim(blocks * parts)) {
    const part = item / blocks, first = (item - part * blocks) * c.rowBlock;
    const last = min(first + c.rowBlock, rows);
    let to = table;
    for (let row = first; row < last;) {
      const now = rowsAtOnce(last - row);
      locate(c, to, row, last - row, now);
      to += tableBytes;
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
        if (now == 6) pieces6(from, taps, c.bytes, b, result);
        else pieces4(from, taps, c.bytes, b, result);
        from += tableBytes;
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
