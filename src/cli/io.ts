/** The terminal as commands see it, so that tests can stand in for it. */
import { visible } from "../errors.ts";

export interface Io {
  /** What was asked for: paths, tables, JSON. */
  out(line: string): void;
  /** Everything else: progress, notices, errors. */
  err(line: string): void;
  /** Rewrites the last line of a terminal; does nothing elsewhere. */
  status(line: string): void;
  /** Bytes to standard output. */
  writeBytes(bytes: Uint8Array): Promise<void>;
  readonly quiet: boolean;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** The real terminal. */
export function terminalIo(quiet: boolean, signal: AbortSignal): Io {
  const encoder = new TextEncoder();
  const terminal = Deno.stderr.isTerminal() && !quiet;
  let statusShown = false;
  const write = (to: { writeSync(p: Uint8Array): number }, text: string) => {
    let bytes = encoder.encode(text);
    try {
      while (bytes.length > 0) bytes = bytes.subarray(to.writeSync(bytes));
    } catch (error) {
      // The reader of a pipe has gone: there is nobody left to tell.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  };
  const clear = () => {
    if (statusShown) write(Deno.stderr, "\r\x1b[K");
    statusShown = false;
  };
  return {
    quiet,
    signal,
    out(line) {
      clear();
      write(Deno.stdout, `${visible(line)}\n`);
    },
    err(line) {
      clear();
      write(Deno.stderr, `${visible(line)}\n`);
    },
    status(line) {
      if (!terminal) return;
      write(Deno.stderr, `\r\x1b[K${visible(line)}`);
      statusShown = line !== "";
    },
    async writeBytes(bytes) {
      try {
        for (let at = 0; at < bytes.length;) at += await Deno.stdout.write(bytes.subarray(at));
      } catch (error) {
        if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      }
    },
  };
}
