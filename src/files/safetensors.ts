/**
 * safetensors, read as a stranger's file and written as the reference implementation does: eight
 * bytes of header length, a JSON header, the tensors' bytes.
 * Source: the format description at huggingface/safetensors.
 */
import { InputError, shown } from "../errors.ts";
import { bfloatToFloat, float8ToFloat, floatToHalf, halfToFloat } from "./half.ts";
import { repeatedKey } from "./json_keys.ts";

/** The longest header that is read: the reference implementation's limit. */
export const MAX_HEADER_BYTES = 100_000_000;
/** The most tensors that are read from one file. */
export const MAX_TENSORS = 100_000;
const MAX_RANK = 8;

/** A tensor as float32, whatever it is stored as. */
export interface SafeTensor {
  /** The dimensions; [] is a scalar. */
  readonly shape: readonly number[];
  /** As many numbers as the shape has places. */
  readonly data: Float32Array;
}

/** What a file holds. */
export interface SafetensorsFile {
  /** Those of floats by name, in the order they lie in the file. */
  readonly tensors: Map<string, SafeTensor>;
  /** The header's `__metadata__`; {} where there is none. */
  readonly metadata: Readonly<Record<string, string>>;
}

const floatSizes: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
};
/** Types that count or choose something; tensors of them are passed over. */
const wholeSizes: Record<string, number> = {
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
const itemSizes = { ...floatSizes, ...wholeSizes };

/** A tensor's place behind the header. */
export interface Entry {
  name: string;
  dtype: string;
  shape: number[];
  start: number;
  end: number;
}

/**
 * All tensors of floats as float32, in the order they lie in the file; those of whole numbers, which
 * are no weights, are passed over. float32 data is not copied where its place allows it.
 * @throws InputError that names the file and the tensor: a header that is no JSON or over its limit,
 * an unknown type, a shape that does not match its bytes, bytes out of range, overlapping or unused.
 */
export function parseSafetensors(bytes: Uint8Array, where = "safetensors"): SafetensorsFile {
  const fail = (problem: string): never => {
    throw new InputError(`${where}: ${problem}`);
  };
  if (bytes.length < 8) fail(`expected a safetensors file, found ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - 8))) {
    fail(
      `expected a safetensors header, found a length of ${headerLength} in ${bytes.length} bytes`,
    );
  }
  const data = bytes.subarray(8 + Number(headerLength));
  const header = bytes.subarray(8, 8 + Number(headerLength));
  const { entries, metadata } = readLayout(header, data.length, fail);
  const tensors = new Map(
    entries.filter(isFloat).map(({ name, dtype, shape, start, end }) => [
      name,
      { shape, data: toFloat32(data.subarray(start, end), dtype) },
    ]),
  );
  return { tensors, metadata };
}

export type Fail = (problem: string) => never;

/**
 * What lies where in a file, by its header.
 * @param length bytes behind the header; undefined where only the end of the file will tell
 */
export function readLayout(header: Uint8Array, length: number | undefined, fail: Fail) {
  const { __metadata__: metadata = {}, ...rest } = parseHeader(header, fail);
  if (!isRecord(metadata) || !Object.values(metadata).every((v) => typeof v === "string")) {
    fail("__metadata__ must map names to strings");
  }
  const names = Object.keys(rest);
  if (names.length > MAX_TENSORS) fail(`${names.length} tensors, at most ${MAX_TENSORS} are read`);
  const entries = names.map((name) => checkEntry(name, rest[name], length ?? Infinity, fail))
    .sort((a, b) => a.start - b.start || a.end - b.end);
  checkLayout(entries, length ?? entries.at(-1)?.end ?? 0, fail);
  return { entries, metadata: metadata as Record<string, string> };
}

/** Whether a tensor is one of floats; the others count something. */
export function isFloat({ dtype }: Entry): boolean {
  return Object.hasOwn(floatSizes, dtype);
}

function isRecord(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}

function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    return fail("the header is not valid JSON");
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) fail(`the header has "${twice}" twice`);
  if (!isRecord(header)) return fail("the header is not a JSON object");
  return header;
}

function checkEntry(name: string, entry: unknown, length: number, fail: Fail): Entry {
  if (!isRecord(entry)) return fail(`tensor "${name}" has no description`);
  const { dtype, shape, data_offsets: offsets } = entry;
  const itemSize = typeof dtype === "string" && Object.hasOwn(itemSizes, dtype)
    ? itemSizes[dtype]
    : fail(
      `tensor "${name}": expected ${Object.keys(floatSizes).join(", ")} or whole numbers, found ${
        shown(dtype)
      }`,
    );
  const natural = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(natural)) {
    return fail(
      `tensor "${name}": expected up to ${MAX_RANK} whole numbers as shape, found ${shown(shape)}`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(natural)) {
    return fail(`tensor "${name}": expected [start, end] as data_offsets, found ${shown(offsets)}`);
  }
  const [start, end] = offsets as [number, number];
  if (start > end || end > length) {
    return fail(`tensor "${name}" lies at ${start}…${end}, outside the file's ${length} bytes`);
  }
  const size = (shape as number[]).reduce((a, b) => a * b, itemSize);
  if (size !== end - start) {
    return fail(
      `tensor "${name}" of shape [${shape}] needs ${size} bytes, its place has ${end - start}`,
    );
  }
  return { name, dtype: dtype as string, shape, start, end };
}

function checkLayout(entries: readonly Entry[], length: number, fail: Fail): void {
  let at = 0;
  for (const { name, start, end } of entries) {
    if (start < at) fail(`tensor "${name}" overlaps the one before it`);
    if (start > at) fail(`${start - at} bytes before tensor "${name}" belong to none`);
    at = end;
  }
  if (at !== length) fail(`the last ${length - at} bytes belong to no tensor`);
}

/** Numbers of a type as float32; float32 that lies well is not copied. */
export function toFloat32(bytes: Uint8Array, dtype: string): Float32Array {
  const size = floatSizes[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const place = [aligned.buffer, aligned.byteOffset, aligned.byteLength / size] as const;
  if (dtype === "F32") return new Float32Array(...place);
  if (dtype === "F64") return new Float32Array(new Float64Array(...place));
  if (dtype === "F8_E4M3") return float8ToFloat(aligned, 4);
  if (dtype === "F8_E5M2") return float8ToFloat(aligned, 5);
  const bits = new Uint16Array(...place);
  return dtype === "F16" ? halfToFloat(bits) : bfloatToFloat(bits);
}

/** How tensors are stored. */
export interface WriteOptions {
  /** Default F32. */
  readonly dtype?: "F32" | "F16";
  /** Becomes the header's `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * A safetensors file with the tensors in the given order; F16 rounds to nearest, ties to even. The
 * header is padded with spaces so that the data begins at a multiple of 8, as the reference does it.
 * @throws Error for a tensor whose shape does not fit its data, or of a name that the format keeps.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, SafeTensor>,
  { dtype = "F32", metadata }: WriteOptions = {},
): Uint8Array<ArrayBuffer> {
  const header: [string, unknown][] = metadata ? [["__metadata__", metadata]] : [];
  if (dtype === "F16") refuseOverflow(tensors);
  let at = 0;
  for (const [name, { shape, data }] of tensors) {
    checkWritten(name, shape, data);
    const end = at + data.length * itemSizes[dtype];
    header.push([name, { dtype, shape, data_offsets: [at, end] }]);
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  bytes.fill(0x20, 8 + json.length, 8 + padded);
  let to = 8 + padded;
  for (const { data } of tensors.values()) {
    const stored = dtype === "F16" ? floatToHalf(data) : data;
    bytes.set(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength), to);
    to += stored.byteLength;
  }
  return bytes;
}

/** From here on a half is infinite; the largest is 65504. */
const HALF_OVERFLOW = 65520;

/** Whether a half cannot hold some of these numbers: too large, or none at all. */
export function isBeyondHalf(data: Float32Array): boolean {
  for (let i = 0; i < data.length; i++) if (!(Math.abs(data[i]) < HALF_OVERFLOW)) return true;
  return false;
}

function refuseOverflow(tensors: ReadonlyMap<string, SafeTensor>): void {
  const beyond = [...tensors].filter(([, { data }]) => isBeyondHalf(data)).map(([name]) => name);
  if (beyond.length > 0) {
    throw new InputError(
      `16 bits: numbers of ${beyond.length} tensors are beyond ±65504, the largest half: ${
        namesText(beyond)
      }; keep 32 bits`,
    );
  }
}

function checkWritten(name: string, shape: readonly number[], data: Float32Array): void {
  if (name === "__metadata__" || shape.reduce((a, b) => a * b, 1) !== data.length) {
    throw new Error(
      `tensor "${name}" of shape [${shape}] cannot be written: ${data.length} values`,
    );
  }
}

/** The first names of a list, and how many more there are. */
export function namesText(names: readonly string[]): string {
  const shown = names.slice(0, 4).map((name) => `"${name}"`).join(", ");
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}
