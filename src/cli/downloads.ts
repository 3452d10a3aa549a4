/** Downloads of weights as the terminal shows them. */
import type { DownloadOptions, DownloadProgress } from "../weights/find/download.ts";
import type { Io } from "./io.ts";

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
