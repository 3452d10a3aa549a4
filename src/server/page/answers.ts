/// <reference lib="dom" />
/** Asking for several answers, and watching them come. */
import { detailOf } from "./dom.ts";

export interface Question {
  /** The route, relative to the page. */
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, Blob>>;
}

/** A look at one answer on the way, or the answer. */
export interface Look {
  /** Which answer, from 0. */
  readonly index: number;
  readonly png: Blob;
  /** What the server says of the answer once it is done. */
  readonly done?: { readonly seed: number; readonly scheduler: string; readonly steps: number };
}

/** @throws Error with a sentence why there are no answers */
export async function* ask(
  { path, fields, files }: Question,
  signal: AbortSignal,
): AsyncGenerator<Look> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  for (const [name, file] of Object.entries(files)) body.set(name, file, `${name}.png`);
  const response = await fetch(path, { method: "POST", body, signal }).catch((error) => {
    throw signal.aborted ? error : new Error("the server cannot be reached");
  });
  if (!response.ok) throw new Error(await detailOf(response));
  for await (const { event, data } of events(response.body!)) {
    if (event === "error") throw new Error(JSON.parse(data).detail);
    if (event === "done") return;
    const look = JSON.parse(data);
    const bytes = Uint8Array.from(atob(look.b64_json), (c) => c.charCodeAt(0));
    yield {
      index: look.index,
      png: new Blob([bytes], { type: "image/png" }),
      done: event.endsWith(".completed") ? look : undefined,
    };
  }
  throw new Error("the connection broke; try again");
}

/** Server-sent events of an answer's body. */
async function* events(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<{ event: string; data: string }> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
    .getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const [, event] = /^event: (.*)$/m.exec(block) ?? [];
        const [, data] = /^data: (.*)$/m.exec(block) ?? [];
        if (event !== undefined && data !== undefined) yield { event, data };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
