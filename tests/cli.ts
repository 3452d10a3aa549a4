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

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "denoise-test-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
