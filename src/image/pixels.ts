/** Tensors in −1 … 1 and pictures in bytes. */

/** A picture in bytes, row by row, the channels of a pixel together. */
export interface Pixels {
  /** [height, width, channels] flattened. */
  readonly pixels: Uint8Array;
  /** Pixels across. */
  readonly width: number;
  /** Pixels down. */
  readonly height: number;
  /** 1 is grey, 3 is RGB. */
  readonly channels: number;
}

/**
 * [C, H, W] in −1 … 1 to bytes, as diffusers does: x/2 + ½ clamped to 0 … 1, times 255, rounded half
 * to even, each step in float32 (`VaeImageProcessor.denormalize`, `numpy_to_pil`). NaN becomes 0.
 * @param x the picture's numbers
 * @param shape [C, H, W]
 */
export function toPixels(x: Float32Array, [channels, height, width]: readonly number[]): Pixels {
  const pixels = new Uint8Array(height * width * channels);
  const area = height * width;
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < area; p++) {
      const unit = Math.fround(x[c * area + p] / 2 + 0.5);
      const level = Math.fround(Math.min(1, Math.max(0, unit)) * 255);
      const floor = Math.floor(level);
      const rest = level - floor;
      const up = rest > 0.5 || (rest === 0.5 && floor % 2 === 1);
      pixels[p * channels + c] = up ? floor + 1 : floor;
    }
  }
  return { pixels, width, height, channels };
}

/** Bytes to [C, H, W] in −1 … 1; {@link toPixels} gives the same bytes back. */
export function fromPixels({ pixels, width, height, channels }: Pixels): Float32Array {
  const area = width * height;
  const x = new Float32Array(channels * area);
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < channels; c++) x[c * area + p] = pixels[p * channels + c] / 127.5 - 1;
  }
  return x;
}

/** The same picture in grey (ITU-R BT.601 luma) or RGB; alpha is laid over white. */
export function withChannels(picture: Pixels, channels: 1 | 3): Pixels {
  const opaque = picture.channels % 2 === 0 ? overWhite(picture) : picture;
  if (opaque.channels === channels) return opaque;
  const { pixels, width, height } = opaque;
  const area = width * height;
  const out = new Uint8Array(area * channels);
  for (let p = 0; p < area; p++) {
    if (channels === 3) out.fill(pixels[p], p * 3, p * 3 + 3);
    else {
      const luma = 0.299 * pixels[p * 3] + 0.587 * pixels[p * 3 + 1] + 0.114 * pixels[p * 3 + 2];
      out[p] = Math.round(luma);
    }
  }
  return { pixels: out, width, height, channels };
}

function overWhite({ pixels, width, height, channels }: Pixels): Pixels {
  const colours = channels - 1;
  const out = new Uint8Array(width * height * colours);
  for (let p = 0; p < width * height; p++) {
    const alpha = pixels[p * channels + colours] / 255;
    for (let c = 0; c < colours; c++) {
      out[p * colours + c] = Math.round(pixels[p * channels + c] * alpha + 255 * (1 - alpha));
    }
  }
  return { pixels: out, width, height, channels: colours };
}
