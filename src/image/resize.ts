/** Pictures brought to another size. */
import type { Pixels } from "./pixels.ts";

/** The largest middle part of the given proportions, scaled to width × height. */
export function resizeCrop(picture: Pixels, width: number, height: number): Pixels {
  const scale = Math.min(picture.width / width, picture.height / height);
  const [w, h] = [width * scale, height * scale];
  const left = (picture.width - w) / 2;
  const top = (picture.height - h) / 2;
  return resample(picture, { left, top, width: w, height: h }, width, height);
}

/** Every pixel as a square of factor × factor. */
export function enlarge(picture: Pixels, factor: number): Pixels {
  if (factor === 1) return picture;
  const { pixels, width, height, channels } = picture;
  const row = width * factor * channels;
  const out = new Uint8Array(row * height * factor);
  for (let y = 0; y < height; y++) {
    const start = y * factor * row;
    for (let x = 0; x < width * factor; x++) {
      const from = (y * width + Math.floor(x / factor)) * channels;
      for (let c = 0; c < channels; c++) out[start + x * channels + c] = pixels[from + c];
    }
    for (let copy = 1; copy < factor; copy++) {
      out.copyWithin(start + copy * row, start, start + row);
    }
  }
  return { pixels: out, width: width * factor, height: height * factor, channels };
}

interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A region scaled with a triangle filter, as wide as the shrinking: no aliasing, no blur at 1:1. */
function resample(picture: Pixels, region: Region, width: number, height: number): Pixels {
  const { channels } = picture;
  const across = weights(region.left, region.width, width, picture.width);
  const down = weights(region.top, region.height, height, picture.height);
  const rows = new Float32Array(picture.height * width * channels);
  for (let y = 0; y < picture.height; y++) {
    across.forEach(({ first, parts }, x) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0; i < parts.length; i++) {
          sum += parts[i] * picture.pixels[(y * picture.width + first + i) * channels + c];
        }
        rows[(y * width + x) * channels + c] = sum;
      }
    });
  }
  const pixels = new Uint8Array(width * height * channels);
  down.forEach(({ first, parts }, y) => {
    for (let at = 0; at < width * channels; at++) {
      let sum = 0;
      for (let i = 0; i < parts.length; i++) {
        sum += parts[i] * rows[(first + i) * width * channels + at];
      }
      pixels[y * width * channels + at] = Math.round(sum);
    }
  });
  return { pixels, width, height, channels };
}

/** For each target pixel, the source pixels it covers and how much each counts. */
function weights(start: number, length: number, target: number, source: number) {
  const scale = length / target;
  const radius = Math.max(1, scale);
  return Array.from({ length: target }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.ceil(centre - radius - 0.5));
    const last = Math.min(source - 1, Math.floor(centre + radius - 0.5));
    const parts = Array.from(
      { length: last - first + 1 },
      (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / radius),
    );
    const sum = parts.reduce((a, b) => a + b, 0);
    return { first, parts: parts.map((part) => part / sum) };
  });
}
