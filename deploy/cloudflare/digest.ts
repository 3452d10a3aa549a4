/** SHA-256 of weights while they are read. */
import { sha256Hex } from "../../src/files/hash.ts";
import type { Digest } from "../../src/weights/read/streamed.ts";

declare const crypto: Crypto & {
  DigestStream: new (algorithm: string) => WritableStream<Uint8Array> & {
    readonly digest: Promise<ArrayBuffer>;
  };
};

/** Of a file that comes in pieces, by the platform: the web has it of whole files alone. */
export class PlatformDigest implements Digest {
  readonly #stream = new crypto.DigestStream("SHA-256");
  readonly #writer = this.#stream.getWriter();

  update(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes);
  }

  async hex(): Promise<string> {
    await this.#writer.close();
    return new Uint8Array(await this.#stream.digest).toHex();
  }
}

/** Of a file that is in memory, and comes in one piece. */
export class WholeDigest implements Digest {
  #file: Uint8Array | undefined;

  update(bytes: Uint8Array): void {
    if (this.#file) throw new Error("expected a file in one piece, found a second");
    this.#file = bytes;
  }

  hex(): Promise<string> {
    return sha256Hex(this.#file ?? new Uint8Array());
  }
}
