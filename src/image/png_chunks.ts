/** A PNG file as its chunks (PNG specification, third edition, §5). */
import { InputError } from "../errors.ts";
import { crc32 } from "../files/crc32.ts";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

/** A chunk without its length and checksum. */
export interface Chunk {
  /** Four letters. */
  readonly type: string;
  /** Its bytes. */
  readonly data: Uint8Array;
}

/** What IHDR says. */
export interface Header {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Bits a sample. */
  readonly depth: number;
  /** 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha. */
  readonly colourType: number;
  /** Adam7. */
  readonly interlaced: boolean;
}

/**
 * The chunks of a PNG up to its IEND; views into `bytes`.
 * @throws InputError where it is no PNG, does not begin with one IHDR, is cut off or fails a checksum.
 */
export function readChunks(bytes: Uint8Array, where: string): Chunk[] {
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) {
    throw new InputError(`${where}: expected a PNG, found another format`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  for (let at = SIGNATURE.length; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) break;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if ((type === "IHDR") !== (chunks.length === 0) || (type === "IHDR" && length !== 13)) {
      throw new InputError(`${where}: expected one IHDR of 13 bytes at the beginning of the PNG`);
    }
    if (crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end)) {
      throw new InputError(`${where}: the PNG is damaged (checksum of its ${type} chunk)`);
    }
    chunks.push({ type, data: bytes.subarray(at + 8, end) });
    if (type === "IEND") return chunks;
    at = end + 4;
  }
  throw new InputError(`${where}: the PNG is cut off`);
}

/** A PNG file of the given chunks. */
export function writeChunks(chunks: readonly Chunk[]): Uint8Array<ArrayBuffer> {
  const size = chunks.reduce((sum, { data }) => sum + 12 + data.length, SIGNATURE.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(SIGNATURE);
  let at = SIGNATURE.length;
  for (const { type, data } of chunks) {
    view.setUint32(at, data.length);
    for (let i = 0; i < 4; i++) bytes[at + 4 + i] = type.charCodeAt(i);
    bytes.set(data, at + 8);
    view.setUint32(at + 8 + data.length, crc32(bytes.subarray(at + 4, at + 8 + data.length)));
    at += 12 + data.length;
  }
  return bytes;
}

/** What IHDR says. @throws InputError for a combination of colour type and depth that PNG has not. */
export function readHeader({ data }: Chunk, where: string): Header {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [depth, colourType, compression, filter, interlace] = data.subarray(8);
  const depths: Record<number, number[]> = {
    0: [1, 2, 4, 8, 16],
    2: [8, 16],
    3: [1, 2, 4, 8],
    4: [8, 16],
    6: [8, 16],
  };
  if (!depths[colourType]?.includes(depth) || compression || filter || interlace > 1) {
    throw new InputError(
      `${where}: a PNG of colour type ${colourType}, depth ${depth}, compression ${compression}, filter ${filter}, interlace ${interlace} does not exist`,
    );
  }
  return {
    width: view.getUint32(0),
    height: view.getUint32(4),
    depth,
    colourType,
    interlaced: interlace === 1,
  };
}

/** IHDR as a chunk. */
export function writeHeader({ width, height, depth, colourType, interlaced }: Header): Chunk {
  const data = new Uint8Array(13);
  const view = new DataView(data.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  data.set([depth, colourType, 0, 0, interlaced ? 1 : 0], 8);
  return { type: "IHDR", data };
}
