/** A JPEG file as its segments (ITU-T T.81, annex B), before anything in it is decoded. */
import { joinBytes } from "../files/bytes.ts";
import { InputError } from "../errors.ts";
import { exifOrientation } from "./orientation.ts";

const SOI = 0xd8, EOI = 0xd9, SOS = 0xda, DQT = 0xdb, DNL = 0xdc, DRI = 0xdd, DHT = 0xc4;
const APP0 = 0xe0, APP1 = 0xe1, APP14 = 0xee, APP15 = 0xef, COM = 0xfe;
/** Frames that are decoded: baseline, extended sequential and progressive, all with Huffman codes. */
const HUFFMAN_FRAMES = [0xc0, 0xc1, 0xc2];
const RGB_IDS = [82, 71, 66];

/** What a decoder of the coded data needs, and what it cannot tell by itself. */
export interface JpegFile {
  /**
   * Start, tables, frame, scans and end: no application data, no fill bytes, nothing behind the end.
   * Of four components the Adobe marker stays.
   */
  readonly bytes: Uint8Array;
  /** Exif's orientation, 1 to 8. */
  readonly orientation: number;
  /** 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK. */
  readonly components: number;
  /** Whether the coded components are luminance and colour differences, rather than RGB or CMYK. */
  readonly transformed: boolean;
  /** How many scans there are; a progressive file has about ten. */
  readonly scans: number;
}

/**
 * Takes a file apart.
 * @throws InputError for a process, precision or number of components that is not read here, and
 * for a file that is cut off between segments.
 */
export function readJpegSegments(bytes: Uint8Array, where: string): JpegFile {
  const kept: Uint8Array[] = [Uint8Array.of(0xff, SOI)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let ids: number[] | undefined;
  let jfif = false, adobe: number | undefined, adobeSegment: Uint8Array | undefined;
  let orientation = 1, scans = 0;

  let at = 2;
  for (;;) {
    at = nextMarker(bytes, at);
    if (at + 2 > bytes.length) break;
    const marker = bytes[at + 1];
    if (marker === EOI) break;
    const end = at + 4 <= bytes.length ? at + 2 + view.getUint16(at + 2) : Infinity;
    if (end > bytes.length || end < at + 4) {
      throw new InputError(`${where}: a JPEG that is cut off (segment FF${hex(marker)})`);
    }
    const segment = bytes.subarray(at, end);
    const data = segment.subarray(4);
    at = end;
    if (marker === SOS) {
      scans++;
      const coded = codedData(bytes, end);
      kept.push(segment, coded.bytes);
      at = coded.end;
    } else if (marker === DQT || marker === DHT || marker === DRI) {
      kept.push(segment);
    } else if (isFrame(marker)) {
      if (ids) throw new InputError(`${where}: a JPEG of several frames (hierarchical)`);
      ids = readFrame(marker, data, where);
      kept.push(segment);
    } else if (marker === APP0) {
      jfif ||= startsWith(data, "JFIF\0");
    } else if (marker === APP14 && startsWith(data, "Adobe") && data.length >= 12) {
      adobe = data[11];
      adobeSegment = segment;
    } else if (marker === APP1 && startsWith(data, "Exif\0")) {
      orientation = exifOrientation(data.subarray(6));
    } else if (!(marker > APP0 && marker <= APP15 || marker === COM || marker === DNL)) {
      throw new InputError(`${where}: a JPEG with the segment FF${hex(marker)}, which is not read`);
    }
  }
  if (!ids) throw new InputError(`${where}: a JPEG without a frame, or cut off`);
  if (ids.length === 4 && adobeSegment) kept.splice(1, 0, adobeSegment);
  kept.push(Uint8Array.of(0xff, EOI));
  return {
    bytes: joinBytes(kept),
    orientation,
    components: ids.length,
    transformed: isTransformed(ids, jfif, adobe),
    scans,
  };
}

/** As libjpeg decides: JFIF is YCbCr, else Adobe's marker says, else the components' names. */
function isTransformed(ids: readonly number[], jfif: boolean, adobe: number | undefined): boolean {
  if (ids.length !== 3) return adobe === 2;
  if (jfif) return true;
  if (adobe !== undefined) return adobe !== 0;
  return !RGB_IDS.every((id, i) => ids[i] === id);
}

function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== DHT && marker !== 0xc8 && marker !== 0xcc;
}

/** @returns the components' identifiers */
function readFrame(marker: number, data: Uint8Array, where: string): number[] {
  if (!HUFFMAN_FRAMES.includes(marker)) {
    throw new InputError(
      `${where}: a JPEG of process SOF${
        marker & 15
      } (arithmetic, lossless or hierarchical); baseline and progressive ones are read`,
    );
  }
  const [precision] = data;
  if (precision !== 8) {
    throw new InputError(`${where}: a JPEG of ${precision} bits a sample; 8 are read`);
  }
  const [height, width] = [data[1] << 8 | data[2], data[3] << 8 | data[4]];
  if (height === 0 || width === 0) {
    throw new InputError(`${where}: a JPEG of ${width}×${height} pixels in its header`);
  }
  const count = data[5];
  if (![1, 3, 4].includes(count) || data.length < 6 + 3 * count) {
    throw new InputError(`${where}: a JPEG of ${count} components; 1, 3 or 4 are read`);
  }
  return Array.from({ length: count }, (_, i) => data[6 + 3 * i]);
}

/** The next FF that a marker's code follows: fill bytes are passed over, as is what is no segment. */
function nextMarker(bytes: Uint8Array, from: number): number {
  let at = bytes.indexOf(0xff, from);
  while (at >= 0 && (bytes[at + 1] === 0xff || bytes[at + 1] === 0)) {
    at = bytes.indexOf(0xff, at + 1);
  }
  return at < 0 ? bytes.length : at;
}

/** A scan's coded data up to the next marker that is no restart, fill bytes left out. */
function codedData(bytes: Uint8Array, start: number): { bytes: Uint8Array; end: number } {
  const parts: Uint8Array[] = [];
  let from = start;
  for (let at = bytes.indexOf(0xff, start);; at = bytes.indexOf(0xff, at)) {
    if (at < 0) at = bytes.length;
    let code = at;
    while (bytes[code] === 0xff) code++;
    const next = bytes[code];
    const goesOn = next === 0 || next >= 0xd0 && next <= 0xd7;
    if (!goesOn || code >= bytes.length) {
      parts.push(bytes.subarray(from, at));
      return { bytes: joinBytes(parts), end: at };
    }
    // Of several FF only the last belongs to the code behind them (B.1.1.2).
    if (code - at > 1) {
      parts.push(bytes.subarray(from, at));
      from = code - 1;
    }
    at = code + 1;
  }
}

function startsWith(data: Uint8Array, text: string): boolean {
  return data.length >= text.length && [...text].every((c, i) => data[i] === c.charCodeAt(0));
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0").toUpperCase();
}
