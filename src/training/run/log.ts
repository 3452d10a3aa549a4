/** log.jsonl: a line for every update. */
import { InputError } from "../../errors.ts";
import { writeTextDurably } from "../../files/atomic_write.ts";

export interface LogLine {
  readonly step: number;
  readonly loss: number;
  readonly grad_norm: number;
  readonly lr: number;
  /** Spent on this update. */
  readonly ms: number;
}

/** Appends lines; what was logged after the checkpoint that a run goes on from is taken out first. */
export class Log {
  private constructor(readonly path: string, readonly lines: LogLine[]) {}

  /**
   * Reads a log and changes nothing yet; {@link trim} does.
   * @param step the update the run goes on after
   * @throws InputError for a log that cannot be read or is none, with nothing lost
   */
  static async open(path: string, step: number): Promise<Log> {
    const texts = (await readText(path)).split("\n").filter((text) => text !== "");
    const lines = texts.map(parseLine);
    const strange = lines.indexOf(undefined);
    // The last line may be cut off by a kill.
    if (strange >= 0 && strange < texts.length - 1) {
      throw new InputError(
        `${path}: line ${
          strange + 1
        } is no update's ({"step", "loss", …}); nothing was changed: mend it, or move the log away to begin a new one`,
      );
    }
    return new Log(
      path,
      lines.filter((line) => line !== undefined && line.step <= step) as LogLine[],
    );
  }

  /** Takes out of the file what was logged after the update that the run goes on after. */
  async trim(): Promise<void> {
    const text = this.lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    await writeTextDurably(this.path, text);
  }

  async append(line: LogLine): Promise<void> {
    this.lines.push(line);
    await Deno.writeTextFile(this.path, `${JSON.stringify(line)}\n`, { append: true });
  }
}

/** A file's text; none is empty. @throws InputError where it is there and cannot be read */
export async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw new InputError(
      `${path}: cannot be read (${(error as Error).message}); nothing was changed`,
    );
  }
}

function parseLine(text: string): LogLine | undefined {
  try {
    const line = JSON.parse(text);
    return typeof line.step === "number" && typeof line.loss === "number" ? line : undefined;
  } catch {
    return undefined;
  }
}

/** What of a log goes with the weights: the last line, and evenly out of the others. */
const MOST_EXPORTED = 500;

/** A log short enough to lie beside the weights, as text. */
export function thinLog(lines: readonly LogLine[]): string {
  const every = Math.ceil(lines.length / MOST_EXPORTED);
  return lines.filter((_, i) => i % every === 0 || i === lines.length - 1)
    .map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** The mean loss of the last `count` lines. */
export function recentLoss(lines: readonly LogLine[], count = 100): number {
  const last = lines.slice(-count);
  return last.reduce((sum, { loss }) => sum + loss, 0) / Math.max(1, last.length);
}

/** The time spent on the updates in the log. */
export function secondsOf(lines: readonly LogLine[]): number {
  return lines.reduce((sum, { ms }) => sum + (ms ?? 0), 0) / 1000;
}
