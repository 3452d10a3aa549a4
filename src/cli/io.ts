/** The terminal as commands see it, so that tests can stand in for it. */

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

/**
 * A text without what would steer a terminal: control characters, C1 ones too, and those that turn the
 * direction of writing are shown by their numbers. Names in a stranger's file stay names.
 */
export function visible(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
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
