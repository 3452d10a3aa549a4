/** Serves a run's page on a thread of its own: a native evaluation holds the one that trains. */
/// <reference lib="deno.worker" />
import { watchApp } from "./app.ts";
import { RunFolder } from "./run_state.ts";

export type WatchRequest =
  | { readonly kind: "start"; readonly folder: string; readonly port: number }
  | { readonly kind: "end" };

export type WatchReply =
  | { readonly kind: "listening"; readonly address: string }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "ended" };

/** A page that asked within this time is still looked at. */
const LOOKED_AT_MS = 5000;
/** What it gets to fetch the last state and the last pictures. */
const LAST_LOOK_MS = 2500;
/** What answers under way get to reach who asked. */
const CLOSING_MS = 1000;

let asked = -Infinity;
let ended = false;
let server: Deno.HttpServer | undefined;

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const reply = (message: WatchReply) => self.postMessage(message);

self.onmessage = async ({ data }: MessageEvent<WatchRequest>) => {
  if (data.kind === "start") return start(data);
  ended = true;
  if (performance.now() - asked < LOOKED_AT_MS) await after(LAST_LOOK_MS);
  // Who is told of the end finds nobody listening.
  await Promise.race([server?.shutdown(), after(CLOSING_MS)]);
  reply({ kind: "ended" });
};

function start({ folder, port }: { folder: string; port: number }): void {
  const app = watchApp(new RunFolder(folder), {
    ended: () => ended,
    onAsked: () => asked = performance.now(),
  });
  try {
    server = Deno.serve({
      hostname: "127.0.0.1",
      port,
      onListen: ({ port }) => reply({ kind: "listening", address: `http://127.0.0.1:${port}/` }),
    }, app.fetch);
  } catch (error) {
    const inUse = error instanceof Deno.errors.AddrInUse;
    reply({ kind: "failed", why: inUse ? "another program listens there" : String(error) });
  }
}
