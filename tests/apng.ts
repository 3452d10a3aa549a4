/** Reads animated PNGs by their chunks, each frame as a PNG of its own. */
import { decodePng } from "../src/image/png.ts";
import { type Chunk, readChunks, writeChunks } from "../src/image/png_chunks.ts";

export interface Apng {
  /** What a decoder sees that knows no animation, with its texts. */
  readonly still: ReturnType<typeof decodePng>;
  readonly plays: number;
  readonly frames: { readonly pixels: Uint8Array; readonly delay: number }[];
}

export function readApng(bytes: Uint8Array): Apng {
  const [header, ...chunks] = readChunks(bytes, "APNG");
  const word = ({ data }: Chunk, at: number) =>
    new DataView(data.buffer, data.byteOffset).getUint32(at);
  const control = chunks.find(({ type }) => type === "acTL")!;
  const starts = chunks.flatMap(({ type }, i) => type === "fcTL" ? [i] : []);
  if (starts.length !== word(control, 0)) throw new Error(`${starts.length} frames`);
  const numbered = chunks.filter(({ type }) => type === "fcTL" || type === "fdAT");
  if (numbered.some((chunk, i) => word(chunk, 0) !== i)) throw new Error("sequence numbers");
  const frames = starts.map((start, k) => {
    const data = chunks.slice(start + 1, starts[k + 1]).flatMap(({ type, data }) =>
      type === "IDAT" ? [data] : type === "fdAT" ? [data.subarray(4)] : []
    );
    const still = writeChunks([
      header,
      ...data.map((data) => ({ type: "IDAT", data })),
      { type: "IEND", data: new Uint8Array() },
    ]);
    const view = new DataView(chunks[start].data.buffer, chunks[start].data.byteOffset);
    const delay = 1000 * view.getUint16(20) / view.getUint16(22);
    return { pixels: decodePng(still).pixels, delay };
  });
  return { still: decodePng(bytes), plays: word(control, 4), frames };
}
