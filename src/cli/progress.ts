/** How far work is: a bar with speed and time left, lines for logs, bytes of a download. */
import type { DownloadOptions, DownloadProgress } from "../weights/find/download.ts";
import type { Io } from "./io.ts";

const WIDTH = 24;

/** Shows `done` of `total` units of work in which `items` things are made. */
export class Progress {
  readonly #start = performance.now();
  #shown = -Infinity;

  constructor(
    readonly io: Io,
    readonly total: number,
    readonly items: number,
    readonly unit: string,
  ) {}

  update(done: number): void {
    const now = performance.now();
    if (now - this.#shown < 100 && done < this.total) return;
    this.#shown = now;
    const seconds = (now - this.#start) / 1000;
    const share = done / this.total;
    const bar = "█".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, "░");
    const speed = share * this.items / seconds;
    const left = share > 0 ? duration(seconds * (1 - share) / share) : "…";
    this.io.status(
      `${bar} ${Math.floor(share * 100)}%  ${speed.toFixed(2)} ${this.unit}/s  ${left} left`,
    );
  }

  end(): void {
    this.io.status("");
  }
}

/** Seconds as a person reads them: 8.3 s, 2 min 5 s, 1 h 2 min. */
export function duration(seconds: number): string {
  // What would be rounded to 10.0 or 60 is the next larger thing.
  if (seconds < 59.5) return `${seconds.toFixed(seconds < 9.95 ? 1 : 0)} s`;
  const whole = Math.max(60, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How often a line of progress is kept, for logs. */
const LINE_SECONDS = 30;

/** Shows the newest line where there is a terminal, and keeps one now and then. */
export function progressLines(io: Io): (line: string) => void {
  let last = performance.now();
  return (line) => {
    io.status(line);
    if (io.quiet || performance.now() - last < LINE_SECONDS * 1000) return;
    last = performance.now();
    io.err(line);
  };
}

/** Shows how far a job of several parts is in the part it is at, and how long that part takes yet. */
export function partProgress(io: Io): (part: string, done: number, total: number) => void {
  const show = progressLines(io);
  let current: string | undefined;
  let began = 0, before = 0;
  return (part, done, total) => {
    // What is first told of has taken a time that is not known.
    if (part !== current) [current, began, before] = [part, performance.now(), done];
    const seconds = (performance.now() - began) / 1000;
    const left = seconds < 1 || done === before
      ? ""
      : `, ${duration(seconds * (total - done) / (done - before))} left`;
    show(`${part}: ${done} of ${total}${left}`);
  };
}

/** Smaller files come and go without a word. */
const WORTH_TELLING_BYTES = 2 ** 20;
const REDRAW_MS = 100;

/**
 * Shows bytes and share while a file comes, where there is a terminal, and a line once it is there, in
 * logs too; stops with the command.
 */
export function downloadOptions(io: Io): Required<Pick<DownloadOptions, "onProgress" | "signal">> {
  let shown = -Infinity;
  return {
    signal: io.signal,
    onProgress(progress) {
      const { received, total } = progress;
      if (received === total) {
        io.status("");
        if (received >= WORTH_TELLING_BYTES && !io.quiet) io.err(`downloaded ${text(progress)}`);
        return;
      }
      const now = performance.now();
      if (now - shown < REDRAW_MS) return;
      shown = now;
      io.status(`downloading ${text(progress)}`);
    },
  };
}

function text({ url, received, total }: DownloadProgress): string {
  const name = new URL(url).pathname.split("/").findLast((part) => part !== "") ?? url;
  if (total === undefined || received === total) return `${name}: ${megabytes(received)} MB`;
  const share = Math.floor(100 * received / total);
  return `${name}: ${megabytes(received)} of ${megabytes(total)} MB, ${share}%`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
