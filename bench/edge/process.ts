/** Servers as processes: started, waited for, looked at, ended. */

export interface ServerProcess extends AsyncDisposable {
  readonly base: URL;
  /** When the process was started, by performance.now(). */
  readonly started: number;
  readonly pid: number;
  /** Sends SIGINT and gives the milliseconds until the end, and the exit code. */
  interrupt(): Promise<{ milliseconds: number; code: number }>;
  /** VmHWM in bytes: the most memory the process has held. Linux only. */
  peakMemory(): Promise<number>;
}

/** Starts a command that listens on `port`; its output is shown where it fails. */
export function startServer(command: string, args: readonly string[], port: number): ServerProcess {
  const started = performance.now();
  const child = new Deno.Command(command, {
    args: [...args],
    stdout: "null",
    stderr: "null",
    env: { NO_COLOR: "1", DENOISE_WEIGHTS: "" },
  }).spawn();
  return {
    base: new URL(`http://127.0.0.1:${port}/`),
    started,
    pid: child.pid,
    async interrupt() {
      const start = performance.now();
      child.kill("SIGINT");
      const { code } = await child.status;
      return { milliseconds: performance.now() - start, code };
    },
    peakMemory: () => peakMemory(child.pid),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await child.status;
    },
  };
}

/** VmHWM in bytes. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmHWM:\s*(\d+) kB/.exec(status)![1]) * 1024;
}

export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

/** Asks until there is a good answer. */
export async function answer(address: URL, patienceMs = 90_000): Promise<Response> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const response = await fetch(address).catch(() => undefined);
    if (response?.ok) return response;
    const text = await response?.text();
    if (performance.now() > until) throw new Error(`${address}: ${text ?? "no answer"}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
