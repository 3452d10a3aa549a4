/** A progress bar with speed and time left. */
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
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
