/** Runs command lines in this process and keeps what they say. */
import { run } from "../src/cli/main.ts";

export interface CliResult {
  code: number;
  out: string;
  err: string;
  bytes: Uint8Array;
}

export async function cli(
  args: string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<CliResult> {
  const out: string[] = [];
  const err: string[] = [];
  const written: Uint8Array[] = [];
  const code = await run(args, {
    quiet: args.includes("--quiet"),
    signal,
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    status: () => {},
    writeBytes: (bytes) => {
      written.push(bytes);
      return Promise.resolve();
    },
  });
  return {
    code,
    out: out.join("\n"),
    err: err.join("\n"),
    bytes: new Uint8Array(await new Blob(written as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
  };
}

/** Runs a command line whose lines, and every state of its progress, the test is told of as they come. */
export async function watched(
  args: readonly string[],
  told: { err?: (line: string) => void; status?: (line: string) => void },
  stop = new AbortController(),
): Promise<{ code: number; out: string[]; err: string[]; shown: string[] }> {
  const out: string[] = [], err: string[] = [], shown: string[] = [];
  const code = await run(args, {
    quiet: args.includes("--quiet"),
    signal: stop.signal,
    out: (line) => void out.push(line),
    err: (line) => {
      err.push(line);
      told.err?.(line);
    },
    status: (line) => {
      shown.push(line);
      told.status?.(line);
    },
    writeBytes: () => Promise.resolve(),
  });
  return { code, out, err, shown };
}

/** What a promise gives; a test that would wait for ever fails instead. */
export async function inTime<T>(work: Promise<T>, what: string, seconds = 60): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`never happened: ${what}`)), 1000 * seconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "denoise-test-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
