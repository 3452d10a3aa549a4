/** JPEG, decoded. */
import jpeg from "npm:jpeg-js@0.4.4";
import { InputError } from "../errors.ts";
import type { Pixels } from "./pixels.ts";

const MAX_MEGAPIXELS = 64;
const MAX_DECODER_MEGABYTES = 1024;

/** A JPEG as RGB. @throws InputError for a damaged or oversized file. */
export function decodeJpeg(bytes: Uint8Array, where = "JPEG"): Pixels {
  try {
    const { data, width, height } = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: MAX_MEGAPIXELS,
      maxMemoryUsageInMB: MAX_DECODER_MEGABYTES,
    });
    return { pixels: data, width, height, channels: 3 };
  } catch (error) {
    throw new InputError(`${where}: not a JPEG that can be read (${(error as Error).message})`);
  }
}
