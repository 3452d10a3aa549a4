/** `serve` as a process of its own, without the limits that a benchmark would run into. */

export interface ServeProcess {
  readonly base: URL;
  readonly pid: number;
  /** The backend that it runs on. */
  readonly engine: string;
  stop(): Promise<void>;
}

/** Resolves when the first picture can be asked for. */
export async function startServe(
  { weights, backend }: { weights: string; backend: string },
): Promise<ServeProcess> {
  const program = new URL("../mod.ts", import.meta.url).href;
  const limits = ["cacheBytes=0", "publicCostPerMinute=1e9", "deadlineMs=120000", "maxQueue=1e9"];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", program, "serve", "--quiet", "--port", "0"],
      ...["--weights", weights, "--backend", backend],
      ...limits.flatMap((limit) => ["--limit", limit]),
    ],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const base = await listening(child.stderr);
  for (let tries = 0; !(await fetch(new URL("readyz", base))).ok && tries < 600; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const { data: [model] } = await (await fetch(new URL("v1/models", base))).json();
  return {
    base,
    pid: child.pid,
    engine: model.denoise.backend,
    async stop() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

async function listening(stderr: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<URL> {
  const reader = stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`serve ended: ${said}`);
    said += value;
    const address = /listening on (\S+)/.exec(said)?.[1];
    if (!address) continue;
    (async () => {
      while (!(await reader.read()).done);
    })();
    return new URL(address);
  }
}
