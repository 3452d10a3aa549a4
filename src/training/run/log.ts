/** log.jsonl: a line for every update. */
import { writeTextDurably } from "../../files/durable_write.ts";

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

  /** @param step the update the run goes on after */
  static async open(path: string, step: number): Promise<Log> {
    const text = await Deno.readTextFile(path).catch(() => "");
    const lines = text.split("\n").map(parseLine).filter((line) => line !== undefined)
      .filter((line) => line.step <= step);
    await writeTextDurably(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return new Log(path, lines);
  }

  async append(line: LogLine): Promise<void> {
    this.lines.push(line);
    await Deno.writeTextFile(this.path, `${JSON.stringify(line)}\n`, { append: true });
  }
}

/** The last line may be cut off by a kill. */
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
