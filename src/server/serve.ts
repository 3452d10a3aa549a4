/** The app as a Deno process: listening, signals, draining. */
import type { DenoiseApp } from "./http/app.ts";

export interface ServeOptions {
  readonly port?: number;
  readonly hostname?: string;
  /** Begins the drain when aborted; SIGTERM does so too. */
  readonly signal?: AbortSignal;
  /** Milliseconds that work in progress gets after that; orchestrators kill after 5 s or more. */
  readonly graceMs?: number;
  /** Told the address once the socket listens. */
  readonly onListen?: (address: URL) => void;
}

/** Milliseconds for answers on their way out after the drain. */
const FLUSH_MS = 500;

/** Serves until the signal or SIGTERM, then drains. Resolves when the socket is closed. */
export async function serve(app: DenoiseApp, options: ServeOptions = {}): Promise<void> {
  const { port = 8000, hostname = "127.0.0.1", signal, graceMs = 4000, onListen } = options;
  const force = new AbortController();
  const server = Deno.serve({
    port,
    hostname,
    signal: force.signal,
    onListen: ({ hostname, port }) => {
      const host = hostname.includes(":") ? `[${hostname}]` : hostname;
      onListen?.(new URL(`http://${host}:${port}/`));
    },
  }, app.fetch);
  await Promise.race([stopAsked(signal), server.finished]);
  await app.drain(graceMs);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => timer = setTimeout(() => resolve(false), FLUSH_MS));
  const closed = await Promise.race([server.shutdown().then(() => true), late]);
  clearTimeout(timer);
  if (!closed) force.abort();
  await server.finished;
}

function stopAsked(signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      signal?.removeEventListener("abort", stop);
      if (Deno.build.os !== "windows") Deno.removeSignalListener("SIGTERM", stop);
      resolve();
    };
    if (signal?.aborted) return resolve();
    signal?.addEventListener("abort", stop, { once: true });
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
  });
}
