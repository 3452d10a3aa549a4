/** JPEG, decoded and turned upright. */
import jpeg from "npm:jpeg-js@0.4.4";
import { InputError } from "../errors.ts";
import { type JpegFile, readJpegSegments } from "./jpeg_segments.ts";
import { upright } from "./orientation.ts";
import type { Pixels } from "./pixels.ts";

const MAX_MEGAPIXELS = 64;
const MAX_DECODER_MEGABYTES = 1024;
/** A block of 8×8 takes at least a bit, so that a few bytes cannot ask for gigabytes. */
const MAX_PIXELS_PER_BYTE = 512;
/** A scan of a few bytes can ask for work on every pixel; progressive files have about ten. */
const MAX_SCANS = 64;

/**
 * A JPEG (baseline or progressive, 8 bits a sample) as RGB, the way up that its Exif orientation
 * says. Colour profiles are not applied.
 * @throws InputError for a damaged or oversized file, and for what else JPEG can be.
 */
export function decodeJpeg(
  bytes: Uint8Array,
  where = "JPEG",
  maxPixels: number = MAX_MEGAPIXELS * 1e6,
): Pixels {
  const file = readJpegSegments(bytes, where);
  if (file.scans > MAX_SCANS) {
    throw new InputError(`${where}: a JPEG of ${file.scans} scans; at most ${MAX_SCANS} are read`);
  }
  try {
    const { data, width, height } = decode(file, maxPixels);
    return upright({ pixels: data, width, height, channels: 3 }, file.orientation);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(
      /maxResolution/.test(reason)
        ? `${where}: a JPEG of more than ${maxPixels} pixels, or cut off`
        : `${where}: not a JPEG that can be read (${reason})`,
    );
  }
}

function decode({ bytes, components, transformed }: JpegFile, maxPixels: number) {
  return jpeg.decode(bytes, {
    useTArray: true,
    formatAsRGBA: false,
    // Its own guess is YCbCr for three components, and for four its Adobe marker.
    colorTransform: components === 3 ? transformed : undefined,
    // The last restart interval of a single component may reach beyond the picture.
    tolerantDecoding: true,
    maxResolutionInMP: Math.min(maxPixels, bytes.length * MAX_PIXELS_PER_BYTE) / 1e6,
    maxMemoryUsageInMB: MAX_DECODER_MEGABYTES,
  });
}
