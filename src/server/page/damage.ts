/// <reference lib="dom" />
/** What a picture may lose beside a piece of it, made here as the server's operators have it. */
import { createGenerator } from "../../diffusion/mod.ts";
import { convolutionMatrix, gaussianKernel } from "../../restoration/operators/blur.ts";

/** A way to lose something. */
export interface Damage {
  /** How much: what the slider's places mean. */
  readonly amounts: readonly number[];
  /** Where the slider begins. */
  readonly usual: number;
  /** Steps: twice as many where most is missing as where something is known of everything. */
  readonly steps: number;
  /** An amount in words. */
  tell(amount: number): string;
  /** What /v1/restorations is told of it. */
  fields(amount: number): Record<string, string>;
  /** What is left of a picture, maybe smaller than it. @param channels 1 where it is grey */
  of(picture: ImageData, amount: number, channels: number): ImageData;
}

/** Steps that one waits for; the server's own choice for a large loss is 100. */
export const FEW = 20, MANY = 40;

export const damages: Readonly<Record<string, Damage>> = {
  blur: {
    amounts: [0.75, 1, 1.25, 1.5, 2, 2.5, 3],
    usual: 3,
    steps: FEW,
    tell: (sigma) => `σ ${sigma} pixels`,
    fields: (sigma) => ({ blur: `gaussian:${sigma}` }),
    of: blurred,
  },
  small: {
    amounts: [2, 4, 8],
    usual: 1,
    steps: MANY,
    tell: (factor) => `1/${factor} each way`,
    fields: (factor) => ({ scale: String(factor) }),
    of: smaller,
  },
  grey: {
    amounts: [1],
    usual: 0,
    steps: MANY,
    tell: () => "all of them",
    fields: () => ({ colour: "true" }),
    of: grey,
  },
  noise: {
    amounts: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1],
    usual: 4,
    steps: FEW,
    tell: (sigma) => `σ ${sigma}, pixels from −1 to 1`,
    fields: (sigma) => ({ noise: String(sigma) }),
    of: noisy,
  },
};

/** A X Bᵀ of every colour, with the matrices of a Gaussian blur. */
function blurred(picture: ImageData, sigma: number): ImageData {
  const { width, height, data } = picture;
  const kernel = gaussianKernel(sigma);
  const [a, b] = [height, width].map((n) => convolutionMatrix(n, kernel, "reflect").data);
  const rows = new Float64Array(data.length);
  const out = new ImageData(new Uint8ClampedArray(data), width, height);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let j = 0; j < width; j++) sum += b[x * width + j] * data[4 * (y * width + j) + c];
        rows[4 * (y * width + x) + c] = sum;
      }
    }
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (let i = 0; i < height; i++) sum += a[y * height + i] * rows[4 * (i * width + x) + c];
        out.data[4 * (y * width + x) + c] = sum;
      }
    }
  }
  return out;
}

/** The mean of every factor × factor pixels. */
function smaller({ width, height, data }: ImageData, factor: number): ImageData {
  const out = new ImageData(width / factor, height / factor);
  for (let y = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++) {
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let i = 0; i < factor * factor; i++) {
          const row = y * factor + Math.floor(i / factor), column = x * factor + i % factor;
          sum += data[4 * (row * width + column) + c];
        }
        out.data[4 * (y * out.width + x) + c] = sum / factor ** 2;
      }
    }
  }
  return out;
}

/** The luma of ITU-R BT.601, as everywhere here. */
function grey({ width, height, data }: ImageData): ImageData {
  const out = new ImageData(new Uint8ClampedArray(data), width, height);
  for (let i = 0; i < data.length; i += 4) {
    const luma = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    out.data.fill(Math.round(luma), i, i + 3);
  }
  return out;
}

/** Gaussian noise, always the same. */
function noisy({ width, height, data }: ImageData, sigma: number, channels: number): ImageData {
  const area = width * height;
  const z = createGenerator(1).randn(channels * area);
  const out = new ImageData(new Uint8ClampedArray(data), width, height);
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) {
      out.data[4 * p + c] += sigma * 127.5 * z[(channels === 1 ? 0 : c) * area + p];
    }
  }
  return out;
}
