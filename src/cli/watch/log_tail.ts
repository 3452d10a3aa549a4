/** A log that grows, of which only what is new is parsed. */
import type { LogLine } from "../../training/run/log.ts";

/** The lines of a `log.jsonl` that another thread writes. */
export class LogTail {
  #lines: LogLine[] = [];
  /** Bytes read, up to the end of the last whole line. */
  #at = 0;
  #reading: Promise<readonly LogLine[]> | undefined;

  constructor(readonly path: string) {}

  /** All lines so far; none where there is no log yet. */
  read(): Promise<readonly LogLine[]> {
    return this.#reading ??= this.#readOn().finally(() => this.#reading = undefined);
  }

  async #readOn(): Promise<readonly LogLine[]> {
    const bytes = await this.#after(this.#at);
    const added = bytes && linesOf(bytes);
    // A run that goes on takes out what came after its checkpoint: the log is another one then.
    if (
      !added || added.lines.some(({ step }, i) => step <= (added.lines[i - 1] ?? this.#last).step)
    ) {
      const all = linesOf(await this.#after(0) ?? new Uint8Array());
      [this.#lines, this.#at] = [all.lines, all.length];
    } else {
      this.#lines.push(...added.lines);
      this.#at += added.length;
    }
    return this.#lines;
  }

  get #last(): Pick<LogLine, "step"> {
    return this.#lines.at(-1) ?? { step: 0 };
  }

  /** The bytes from there on; undefined where the file is shorter, or not there. */
  async #after(at: number): Promise<Uint8Array | undefined> {
    try {
      const bytes = await Deno.readFile(this.path);
      return bytes.length < at ? undefined : bytes.subarray(at);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }
}

/** The whole lines, and how many bytes they are. */
function linesOf(bytes: Uint8Array): { lines: LogLine[]; length: number } {
  const length = bytes.lastIndexOf(10) + 1;
  const texts = new TextDecoder().decode(bytes.subarray(0, length)).split("\n");
  const lines = texts.flatMap((text): LogLine[] => {
    try {
      return [JSON.parse(text)];
    } catch {
      return [];
    }
  });
  return { lines, length };
}
