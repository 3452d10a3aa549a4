/** IDX, the format of MNIST's files (Yann LeCun's description), gzipped or not. */
import { InputError } from "../../errors.ts";

export interface IdxArray {
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

/** Reads an IDX file of unsigned bytes. @throws InputError for anything else. */
export async function parseIdx(file: Uint8Array, where: string): Promise<IdxArray> {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? await gunzip(file, where) : file;
  const rank = bytes[3];
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0 || bytes[2] !== 8 || !rank || rank > 4) {
    throw new InputError(`${where}: expected an IDX file of unsigned bytes, found another format`);
  }
  const start = 4 + 4 * rank;
  if (bytes.length < start) throw new InputError(`${where}: the IDX header is cut off`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const size = dims.reduce((a, b) => a * b, 1);
  if (bytes.length - start !== size) {
    throw new InputError(
      `${where}: the header says [${dims}], ${size} bytes, but ${bytes.length - start} follow`,
    );
  }
  return { dims, data: bytes.subarray(start) };
}

async function gunzip(bytes: Uint8Array, where: string): Promise<Uint8Array> {
  try {
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream()
      .pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new InputError(`${where}: the gzip data is damaged`);
  }
}
