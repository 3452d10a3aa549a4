/** numpy's .npy: a header that is a Python literal, then the numbers. */
import { InputError } from "../errors.ts";

/** The numbers of an array: uint8, float32, float64, int32 or int64. */
export type NpyData = Uint8Array | Float32Array | Float64Array | Int32Array | BigInt64Array;

/** An array in C order: the last dimension runs fastest. */
export interface NpyArray {
  /** The dimensions; [] is a scalar. */
  readonly shape: readonly number[];
  /** As many numbers as the shape has places. */
  readonly data: NpyData;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

interface ElementType {
  readonly size: number;
  /** The numbers of little-endian bytes, in the narrowest of {@link NpyData}'s kinds that holds all. */
  readonly of: (buffer: ArrayBuffer) => NpyData;
}

/** By kind and size, as numpy names them without the order of bytes. */
const types: Record<string, ElementType> = {
  b1: { size: 1, of: (buffer) => new Uint8Array(buffer) },
  u1: { size: 1, of: (buffer) => new Uint8Array(buffer) },
  i1: { size: 1, of: (buffer) => Int32Array.from(new Int8Array(buffer)) },
  u2: { size: 2, of: (buffer) => Int32Array.from(new Uint16Array(buffer)) },
  i2: { size: 2, of: (buffer) => Int32Array.from(new Int16Array(buffer)) },
  u4: { size: 4, of: (buffer) => BigInt64Array.from(new Uint32Array(buffer), BigInt) },
  i4: { size: 4, of: (buffer) => new Int32Array(buffer) },
  u8: { size: 8, of: (buffer) => new BigInt64Array(buffer) },
  i8: { size: 8, of: (buffer) => new BigInt64Array(buffer) },
  f2: { size: 2, of: (buffer) => new Float32Array(new Float16Array(buffer)) },
  f4: { size: 4, of: (buffer) => new Float32Array(buffer) },
  f8: { size: 8, of: (buffer) => new Float64Array(buffer) },
};

/** numpy's name of an array's element type. */
export function npyType(data: NpyData): string {
  if (data instanceof Uint8Array) return "|u1";
  if (data instanceof Float32Array) return "<f4";
  if (data instanceof Float64Array) return "<f8";
  return data instanceof Int32Array ? "<i4" : "<i8";
}

/** The bytes before the numbers, a multiple of 64 as numpy aligns them. */
export function npyHeader(type: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const literal = `{'descr': '${type}', 'fortran_order': False, 'shape': (${dims}), }`;
  const length = Math.ceil((10 + literal.length + 1) / 64) * 64 - 10;
  const header = new Uint8Array(10 + length).fill(0x20);
  header.set([...MAGIC, 1, 0, length & 255, length >> 8]);
  header.set(new TextEncoder().encode(literal), 10);
  header[header.length - 1] = 0x0a;
  return header;
}

/** An array as a .npy file (format 1.0). */
export function writeNpy({ shape, data }: NpyArray): Uint8Array<ArrayBuffer> {
  const header = npyHeader(npyType(data), shape);
  const bytes = new Uint8Array(header.length + data.byteLength);
  bytes.set(header);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), header.length);
  return bytes;
}

/**
 * The array of a .npy file, its numbers copied.
 * @throws InputError for another format or type, or a size that does not match.
 */
export function parseNpy(bytes: Uint8Array, where: string): NpyArray {
  if (bytes.length < 10 || !MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw new InputError(`${where}: expected a .npy array, found another format`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes[6] >= 2;
  const start = wide ? 12 : 10;
  const length = bytes.length < start
    ? Infinity
    : wide
    ? view.getUint32(8, true)
    : view.getUint16(8, true);
  if (start + length > bytes.length) throw new InputError(`${where}: the .npy header is cut off`);
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1] ?? "";
  const dims = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  const [, order, kind] = /^([<>|=])(\w+)$/.exec(type) ?? [];
  if (kind === undefined || !Object.hasOwn(types, kind)) {
    throw new InputError(
      `${where}: elements of type "${type}"; ${Object.keys(types).join(", ")} are read`,
    );
  }
  const inFortranOrder = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  if (dims === undefined || inFortranOrder === undefined) {
    throw new InputError(`${where}: expected a .npy header with shape and fortran_order`);
  }
  const shape = dims.split(",").map((d) => d.trim()).filter((d) => d !== "").map(Number);
  if (!shape.every(Number.isSafeInteger)) {
    throw new InputError(`${where}: expected whole numbers in the shape, found (${dims})`);
  }
  const body = bytes.slice(start + length);
  const { size, of } = types[kind];
  if (shape.reduce((a, b) => a * b, size) !== body.length) {
    throw new InputError(`${where}: shape (${shape}) does not fit ${body.length} bytes`);
  }
  if (order === ">") reverseEach(body, size);
  const data = of(body.buffer);
  return { shape, data: inFortranOrder === "True" ? toCOrder(data, shape) : data };
}

/** Numbers whose first dimension runs fastest, as numpy saves a transposed array. */
function toCOrder(data: NpyData, shape: readonly number[]): NpyData {
  const out = data.slice();
  for (let at = 0; at < out.length; at++) {
    let rest = at, from = 0, step = out.length;
    for (const size of shape.toReversed()) {
      step /= size;
      from += rest % size * step;
      rest = Math.floor(rest / size);
    }
    out[at] = data[from];
  }
  return out;
}

/** Big-endian elements to little-endian, in place. */
function reverseEach(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
