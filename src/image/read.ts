/** A picture file of any format that is read here. */
import { InputError } from "../errors.ts";
import { decodeJpeg } from "./jpeg.ts";
import type { Pixels } from "./pixels.ts";
import { decodePng, MAX_DECODED_PIXELS } from "./png.ts";

/**
 * Decodes PNG or JPEG, told apart by their first bytes.
 * @param maxPixels larger pictures are refused by what their headers say
 * @throws InputError for anything else
 */
export function decodePicture(
  bytes: Uint8Array,
  where: string,
  maxPixels: number = MAX_DECODED_PIXELS,
): Pixels {
  if (bytes[0] === 0x89 && bytes[1] === 0x50) return decodePng(bytes, where, maxPixels);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return decodeJpeg(bytes, where, maxPixels);
  throw new InputError(`${where}: expected a PNG or JPEG picture, found another format`);
}
