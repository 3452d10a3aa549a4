/** JPEG, decoded and turned upright. */
import jpeg from "npm:jpeg-js@0.4.4";
import { InputError } from "../errors.ts";
import { exifOrientation, upright } from "./orientation.ts";
import type { Pixels } from "./pixels.ts";

const MAX_MEGAPIXELS = 64;
const MAX_DECODER_MEGABYTES = 1024;
/** A block of 8×8 takes at least a bit, so that a few bytes cannot ask for gigabytes. */
const MAX_PIXELS_PER_BYTE = 512;
/** A scan of a few bytes can ask for work on every pixel; progressive files have about ten. */
const MAX_SCANS = 64;

interface Decoded {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** An APP1 segment behind "Exif\0", a byte of padding first; not in the library's types. */
  readonly exifBuffer?: Uint8Array;
}

/**
 * A JPEG (baseline or progressive) as RGB, the way up that its Exif orientation says.
 * @throws InputError for a damaged or oversized file.
 */
export function decodeJpeg(bytes: Uint8Array, where = "JPEG"): Pixels {
  const scans = countScans(bytes);
  if (scans > MAX_SCANS) {
    throw new InputError(`${where}: a JPEG of ${scans} scans; at most ${MAX_SCANS} are read`);
  }
  try {
    const { data, width, height, exifBuffer }: Decoded = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: Math.min(MAX_MEGAPIXELS, bytes.length * MAX_PIXELS_PER_BYTE / 1e6),
      maxMemoryUsageInMB: MAX_DECODER_MEGABYTES,
    });
    const orientation = exifBuffer ? exifOrientation(exifBuffer.subarray(1)) : 1;
    return upright({ pixels: data, width, height, channels: 3 }, orientation);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new InputError(
      /maxResolution/.test(reason)
        ? `${where}: a JPEG of more than ${MAX_MEGAPIXELS} million pixels, or cut off`
        : `${where}: not a JPEG that can be read (${reason})`,
    );
  }
}

/** How often the start-of-scan marker is there; in coded data it cannot be. */
function countScans(bytes: Uint8Array): number {
  let scans = 0;
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xda) scans++;
  }
  return scans;
}
