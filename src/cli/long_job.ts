/** Progress of work that takes minutes to hours. */
import type { Io } from "./io.ts";
import { duration } from "./progress.ts";

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
