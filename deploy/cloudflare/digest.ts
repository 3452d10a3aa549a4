/** SHA-256 of a file that comes in pieces, by the platform: the web has it of whole files alone. */
import type { Digest } from "../../src/weights/read/streamed.ts";

declare const crypto: Crypto & {
  DigestStream: new (algorithm: string) => WritableStream<Uint8Array> & {
    readonly digest: Promise<ArrayBuffer>;
  };
};

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
