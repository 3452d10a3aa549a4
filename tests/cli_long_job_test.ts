/** Progress of long jobs, on a terminal and in a log. */
import { assertEquals } from "@std/assert";
import type { Io } from "../src/cli/io.ts";
import { partProgress } from "../src/cli/progress.ts";

function recording(quiet: boolean) {
  const status: string[] = [], kept: string[] = [];
  const io: Io = {
    quiet,
    signal: new AbortController().signal,
    out: () => {},
    err: (line) => kept.push(line),
    status: (line) => status.push(line),
    writeBytes: () => Promise.resolve(),
  };
  return { io, status, kept };
}

/** Runs with a clock that only the test moves. */
function withClock(run: (seconds: (now: number) => void) => void): void {
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    run((seconds) => time = 1000 * seconds);
  } finally {
    performance.now = now;
  }
}

Deno.test("each part shows how far it is and its own time left; a log keeps a line in 30 seconds", () => {
  for (const quiet of [false, true]) {
    const { io, status, kept } = recording(quiet);
    withClock((at) => {
      const show = partProgress(io);
      show("loss", 1, 10);
      at(10);
      show("loss", 2, 10);
      at(29.9);
      show("loss", 4, 10);
      at(30);
      show("loss", 8, 10);
      at(49);
      show("samples", 1, 4);
      at(59);
      show("samples", 2, 4);
    });
    const halfway = "loss: 8 of 10, 8.6 s left";
    assertEquals(status, [
      "loss: 1 of 10",
      "loss: 2 of 10, 1 min 20 s left",
      "loss: 4 of 10, 1 min 0 s left",
      halfway,
      "samples: 1 of 4",
      "samples: 2 of 4, 20 s left",
    ]);
    assertEquals(kept, quiet ? [] : [halfway]);
  }
});
