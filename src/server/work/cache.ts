/** Finished pictures, least recently used first to go. */
export class PictureCache {
  readonly #entries = new Map<string, Uint8Array<ArrayBuffer>>();
  #bytes = 0;

  constructor(readonly maxBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Uint8Array<ArrayBuffer> | undefined {
    const png = this.#entries.get(key);
    if (png) {
      this.#entries.delete(key);
      this.#entries.set(key, png);
    }
    return png;
  }

  set(key: string, png: Uint8Array<ArrayBuffer>): void {
    if (png.length > this.maxBytes) return;
    this.#remove(key);
    this.#entries.set(key, png);
    this.#bytes += png.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.length ?? 0;
    this.#entries.delete(key);
  }
}
