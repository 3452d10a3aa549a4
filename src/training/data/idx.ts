/** IDX, the format of MNIST's files (Yann LeCun's description), gzipped or not. */
import { InputError } from "../../errors.ts";
import { joinBytes } from "../../files/bytes.ts";

export interface IdxArray {
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

/** The longest header: four bytes and four dimensions. */
const MAX_HEADER = 20;

/** Bytes that are inflated at once: each can become a thousand. */
const PIECE = 4096;

/** Reads an IDX file of unsigned bytes. @throws InputError for anything else. */
export async function parseIdx(file: Uint8Array, where: string): Promise<IdxArray> {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? await gunzip(file, where) : file;
  const { dims, start, size } = readHeader(bytes, where);
  if (bytes.length - start !== size) {
    throw new InputError(
      `${where}: the header says [${dims}], ${size} bytes, but ${
        bytes.length - start > size ? "more" : bytes.length - start
      } follow`,
    );
  }
  return { dims, data: bytes.subarray(start) };
}

function readHeader(bytes: Uint8Array, where: string) {
  const rank = bytes[3];
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 8 || !rank || rank > 4) {
    throw new InputError(`${where}: expected an IDX file of unsigned bytes, found another format`);
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw new InputError(`${where}: the IDX header is cut off`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  return { dims, start, size: dims.reduce((a, b) => a * b, 1) };
}

/** Inflates no more than the header announces: a few bytes can become gigabytes. */
async function gunzip(bytes: Uint8Array, where: string): Promise<Uint8Array> {
  let at = 0;
  const stream = new ReadableStream<BufferSource>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += PIECE));
    },
  }).pipeThrough(new DecompressionStream("gzip"));
  const chunks: Uint8Array[] = [];
  let length = 0;
  let most = Infinity;
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      length += chunk.length;
      if (most === Infinity && length >= MAX_HEADER) {
        const { start, size } = readHeader(joinBytes(chunks), where);
        most = start + size;
      }
      if (length > most) break;
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${where}: the gzip data is damaged`);
  }
  return joinBytes(chunks);
}
