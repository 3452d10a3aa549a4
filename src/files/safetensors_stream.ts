/** safetensors as they come: a tensor is there before the next has been read. */
import { InputError } from "../errors.ts";
import {
  type Entry,
  type Fail,
  isFloat,
  MAX_HEADER_BYTES,
  readLayout,
  toFloat32,
} from "./safetensors.ts";

/** A file of which the header has been read. */
export interface SafetensorsStream {
  /** Tensors of floats, in the order in which they come. */
  readonly entries: readonly Entry[];
  /** The header's `__metadata__`; {} where there is none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Each tensor of floats as float32, to be read once; an array is good until the next is asked for. */
  tensors(): AsyncGenerator<readonly [name: string, data: Float32Array]>;
  /** Lets go of the stream. */
  cancel(): Promise<void>;
}

/**
 * Reads a file's header from a stream.
 * @param seen told every piece of the file, in order; a piece is good until it has returned
 * @throws InputError as `parseSafetensors`, here and from `tensors`
 */
export async function streamSafetensors(
  stream: ReadableStream<Uint8Array>,
  where: string,
  seen: (bytes: Uint8Array) => void | Promise<void> = () => {},
): Promise<SafetensorsStream> {
  const fail: Fail = (problem) => {
    throw new InputError(`${where}: ${problem}`);
  };
  const pieces = new Pieces(stream, seen, fail);
  const { entries, metadata } = await layoutOf(pieces, fail).catch(async (error) => {
    await pieces.cancel().catch(() => {});
    throw error;
  });
  const floats = entries.filter(isFloat);
  return {
    entries: floats,
    metadata,
    async *tensors() {
      // Both are used for one tensor after another: 30 million numbers leave no garbage behind.
      const longest = Math.max(0, ...entries.map(({ start, end }) => end - start));
      const bytes = new Uint8Array(longest);
      const most = Math.max(0, ...floats.map((entry) => sizeOf(entry)));
      const floats32 = new Float32Array(most);
      try {
        for (const entry of entries) {
          const { name, dtype, start, end } = entry;
          const raw = await pieces.read(end - start, bytes);
          if (!isFloat(entry)) continue;
          if (dtype === "F16") {
            const halves = new Float16Array(raw.buffer as ArrayBuffer, 0, sizeOf(entry));
            const data = floats32.subarray(0, halves.length);
            data.set(halves);
            yield [name, data];
          } else yield [name, toFloat32(raw, dtype)];
        }
        await pieces.end();
      } finally {
        await pieces.cancel();
      }
    },
    cancel: () => pieces.cancel(),
  };
}

async function layoutOf(pieces: Pieces, fail: Fail) {
  const start = await pieces.read(8, new Uint8Array(8));
  const length = new DataView(start.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    fail(`expected a safetensors header, found a length of ${length}`);
  }
  const header = await pieces.read(Number(length), new Uint8Array(Number(length)));
  return readLayout(header, undefined, fail);
}

const sizeOf = ({ shape }: Entry) => shape.reduce((a, b) => a * b, 1);

/** A stream, so many bytes at a time. */
class Pieces {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What has come and was not asked for yet. */
  #rest = new Uint8Array(0);

  constructor(
    stream: ReadableStream<Uint8Array>,
    readonly seen: (bytes: Uint8Array) => void | Promise<void>,
    readonly fail: Fail,
  ) {
    this.#reader = stream.getReader();
  }

  /** The next `length` bytes, at the start of `to`. */
  async read(length: number, to: Uint8Array): Promise<Uint8Array> {
    let at = 0;
    while (at < length) {
      if (this.#rest.length === 0 && !await this.#next()) {
        this.fail(`expected ${length - at} bytes more, found the end of the file`);
      }
      const some = this.#rest.subarray(0, length - at);
      to.set(some, at);
      at += some.length;
      this.#rest = this.#rest.subarray(some.length);
    }
    return to.subarray(0, length);
  }

  async end(): Promise<void> {
    while (this.#rest.length === 0) if (!await this.#next()) return;
    this.fail("bytes behind the last tensor belong to none");
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }

  async #next(): Promise<boolean> {
    const { value } = await this.#reader.read();
    if (!value) return false;
    await this.seen(value);
    this.#rest = value as Uint8Array<ArrayBuffer>;
    return true;
  }
}
