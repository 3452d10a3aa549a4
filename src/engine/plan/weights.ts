/** What stays in memory from run to run: parameters and constants, as the kernels want them. */
import type { Value } from "../../graph/mod.ts";
import { type Buffer, product, roundUp, rowMajor, type View } from "./view.ts";

/** How a tensor is brought into the form that a kernel reads. */
export type Packing =
  | { readonly kind: "raw" }
  | {
    readonly kind: "conv";
    readonly outChannels: number;
    readonly channels: number;
    readonly taps: number;
    readonly half: boolean;
  }
  | {
    readonly kind: "winograd";
    readonly outChannels: number;
    readonly channels: number;
    readonly m: 2 | 4;
    readonly range: number;
  }
  | {
    readonly kind: "kernels";
    readonly outChannels: number;
    readonly channels: number;
    readonly half: boolean;
  };

export interface Packed {
  readonly value: Value;
  readonly packing: Packing;
  readonly buffer: Buffer;
}

/** Each tensor in each of the forms that it is needed in. */
export class WeightStore {
  readonly packed: Map<string, Packed> = new Map();
  /** As many zeros as the widest pixel has bytes. */
  readonly zeros: Buffer & { bytes: number } = weightsBuffer(64);

  /** As it is, row-major, with zeros behind it up to a multiple of four elements. */
  raw(value: Value): View {
    const dims = value.shape as number[];
    const bytes = 4 * roundUp(Math.max(1, product(dims)), 4);
    const buffer = this.#place(value, { kind: "raw" }, bytes);
    return { buffer, offset: 0, dims, strides: rowMajor(dims) };
  }

  /** Panels of a convolution's or linear layer's weight [O, C, taps…]. */
  conv(value: Value): { place: View; half: boolean } {
    const [outChannels, channels, ...kernel] = value.shape as number[];
    const taps = product(kernel);
    const half = this.fitsHalf?.(value) ?? false;
    const bytes = (half ? 2 : 4) * roundUp(outChannels, 8) * channels * taps;
    const packing = { kind: "conv", outChannels, channels, taps, half } as const;
    return { place: whole(this.#place(value, packing, bytes)), half };
  }

  /**
   * @param fitsHalf left out, weights are widened, and those of 3×3 convolutions transformed, when they
   * are loaded; given, they stay as they are, in 16 bits where this says that those hold them, and that is
   * done whenever they are used: of 3×3 convolutions it takes a quarter, or an eighth, of the memory
   */
  constructor(readonly fitsHalf?: (value: Value) => boolean) {}

  /** A 3×3 convolution's weight, transformed, or what it takes to do so. */
  winograd(value: Value, m: 2 | 4, range: number): { place: View; compact: 0 | 1 | 2 } {
    const [outChannels, channels] = value.shape as number[];
    if (this.fitsHalf) {
      const half = this.fitsHalf(value);
      const bytes = (half ? 2 : 4) * 9 * roundUp(outChannels, 8) * channels;
      const packing = { kind: "kernels", outChannels, channels, half } as const;
      return { place: whole(this.#place(value, packing, bytes)), compact: half ? 2 : 1 };
    }
    const bytes = 4 * (m + 2) ** 2 * roundUp(outChannels, 8) * channels;
    const packing = { kind: "winograd", outChannels, channels, m, range } as const;
    return { place: whole(this.#place(value, packing, bytes)), compact: 0 };
  }

  zeroPixel(channels: number): View {
    this.zeros.bytes = Math.max(this.zeros.bytes, 4 * roundUp(channels, 4));
    return whole(this.zeros);
  }

  get buffers(): Buffer[] {
    return [...this.packed.values()].map(({ buffer }) => buffer).concat(this.zeros);
  }

  /** Of all tensors in all forms. */
  get bytes(): number {
    return this.buffers.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #place(value: Value, packing: Packing, bytes: number): Buffer {
    const key = `${value.id} ${Object.values(packing).join(" ")}`;
    const existing = this.packed.get(key);
    if (existing) return existing.buffer;
    const buffer = weightsBuffer(bytes);
    this.packed.set(key, { value, packing, buffer });
    return buffer;
  }
}

function weightsBuffer(bytes: number): Buffer & { bytes: number } {
  return { bytes, kind: "weights", address: 0, first: 0, last: 0 };
}

function whole(buffer: Buffer): View {
  return { buffer, offset: 0, dims: [], strides: [] };
}
