/** Reads the golden data. A reader of its own, so that no code under test vouches for itself. */

const root = new URL("./golden/", import.meta.url);

export async function readGoldenJson<T>(path: string): Promise<T> {
  return JSON.parse(await Deno.readTextFile(new URL(path, root)));
}

/** The tensors of a safetensors file as PyTorch wrote it. */
export class GoldenTensors {
  readonly #header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>;

  constructor(readonly bytes: Uint8Array<ArrayBuffer>, readonly path: string) {
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    this.#header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    delete this.#header.__metadata__;
    for (const entry of Object.values(this.#header)) {
      entry.data_offsets = entry.data_offsets.map((offset) => offset + 8 + length);
    }
  }

  names(): string[] {
    return Object.keys(this.#header);
  }

  shape(name: string): number[] {
    return this.#entry(name).shape;
  }

  floats(name: string): Float32Array {
    const { dtype, data_offsets: [start, end] } = this.#entry(name);
    if (dtype !== "F32") throw new Error(`${this.path}: ${name} is ${dtype}, not F32`);
    return new Float32Array(this.bytes.slice(start, end).buffer);
  }

  /** An I64 tensor as numbers, or undefined where there is none of that name. */
  integers(name: string): number[] | undefined {
    if (!(name in this.#header)) return undefined;
    const { dtype, data_offsets: [start, end] } = this.#entry(name);
    const buffer = this.bytes.slice(start, end).buffer;
    if (dtype === "I64") return [...new BigInt64Array(buffer)].map(Number);
    if (dtype === "I32") return [...new Int32Array(buffer)];
    throw new Error(`${this.path}: ${name} is ${dtype}, not an integer type`);
  }

  #entry(name: string) {
    const entry = this.#header[name];
    if (!entry) throw new Error(`${this.path} has no tensor ${name}; it has ${this.names()}`);
    return entry;
  }
}

export async function readGolden(path: string): Promise<GoldenTensors> {
  return new GoldenTensors(await Deno.readFile(new URL(path, root)), path);
}
