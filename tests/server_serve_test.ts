/** The app as a process: where it listens, what ends it, and how long it waits for what is under way. */
import { assertEquals } from "@std/assert";
import type { DenoiseApp } from "../src/server/mod.ts";
import { serve, type ServeOptions } from "../src/server/serve.ts";
import { heldTime } from "./held_time.ts";

/** A runtime whose server and signals are a test's, and an app that says how it was drained. */
function held() {
  const { serve, addSignalListener, removeSignalListener } = Deno;
  const finished = Promise.withResolvers<void>(), closed = Promise.withResolvers<void>();
  const seen = { drains: [] as number[], shutdowns: 0 };
  const listeners = new Map<string, () => void>();
  let options!: Deno.ServeTcpOptions & { signal: AbortSignal };
  let handler: unknown;
  Object.assign(Deno, {
    serve: (given: typeof options, handle: unknown) => {
      [options, handler] = [given, handle];
      given.signal!.addEventListener("abort", () => finished.resolve());
      const shutdown = () => {
        seen.shutdowns++;
        return closed.promise.then(() => finished.resolve());
      };
      return { finished: finished.promise, shutdown };
    },
    addSignalListener: (name: string, run: () => void) => void listeners.set(name, run),
    removeSignalListener: (name: string, run: () => void) => {
      if (listeners.get(name) === run) listeners.delete(name);
    },
  });
  const app = {
    fetch: () => new Response(),
    drain: (graceMs: number) => Promise.resolve(seen.drains.push(graceMs) > 0),
  } as unknown as DenoiseApp;
  return {
    app,
    seen,
    finished,
    closed,
    listeners,
    options: () => options,
    handler: () => handler,
    [Symbol.dispose]: () =>
      void Object.assign(Deno, { serve, addSignalListener, removeSignalListener }),
  };
}

/** What has happened by now, without waiting for the rest. */
const now = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("a server listens on port 8000 of this machine alone, and tells its address", async () => {
  using runtime = held();
  const told: string[] = [];
  const options: ServeOptions = { onListen: ({ href }) => void told.push(href) };
  const served = serve(runtime.app, options);
  const { port, hostname, onListen } = runtime.options();
  assertEquals([port, hostname, runtime.handler() === runtime.app.fetch], [
    8000,
    "127.0.0.1",
    true,
  ]);
  for (const hostname of ["127.0.0.1", "localhost", "::1"]) {
    onListen!({ hostname, port: 81, transport: "tcp" });
  }
  assertEquals(told, ["http://127.0.0.1:81/", "http://localhost:81/", "http://[::1]:81/"]);
  runtime.closed.resolve();
  runtime.listeners.get("SIGTERM")!();
  await served;
  assertEquals(runtime.seen, { drains: [4000], shutdowns: 1 });
});

Deno.test("a server goes where it is told, and ends on its signal, or at once where that was given before", async () => {
  for (const before of [false, true]) {
    using runtime = held();
    const stop = new AbortController();
    if (before) stop.abort();
    const { signal } = stop;
    runtime.closed.resolve();
    const served = serve(runtime.app, { port: 81, hostname: "::", signal, graceMs: 7 });
    assertEquals([runtime.options().port, runtime.options().hostname], [81, "::"]);
    if (!before) {
      await now();
      assertEquals(runtime.seen, { drains: [], shutdowns: 0 });
      stop.abort();
    }
    await served;
    assertEquals(runtime.seen, { drains: [7], shutdowns: 1 });
    assertEquals([runtime.listeners.size, runtime.options().signal.aborted], [0, false]);
  }
});

Deno.test("a server that ends by itself is drained, too", async () => {
  using runtime = held();
  const served = serve(runtime.app);
  runtime.closed.resolve();
  runtime.finished.resolve();
  await served;
  assertEquals(runtime.seen.drains, [4000]);
});

Deno.test("after the drain answers have half a second on their way out, then their connections are cut", async () => {
  using time = heldTime();
  for (const late of [true, false]) {
    using runtime = held();
    const served = serve(runtime.app, { signal: AbortSignal.abort() });
    await time.pass(499);
    assertEquals([runtime.seen.shutdowns, runtime.options().signal.aborted], [1, false]);
    if (late) await time.pass(1);
    else runtime.closed.resolve();
    await served;
    assertEquals([runtime.options().signal.aborted, time.timers.size], [late, 0]);
  }
});

Deno.test("a server is over when its socket is closed, not before; it listens for nothing more", async () => {
  using runtime = held();
  const stop = new AbortController();
  const removed: unknown[] = [];
  const { removeEventListener } = stop.signal;
  stop.signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
    removed.push(given[0]);
    removeEventListener.apply(stop.signal, given);
  };
  // Nothing is left to close, and the socket's last connection is still there.
  Object.assign(Deno, {
    serve: () => ({ finished: runtime.finished.promise, shutdown: () => Promise.resolve() }),
  });
  let over = false;
  const served = serve(runtime.app, { signal: stop.signal }).then(() => void (over = true));
  runtime.listeners.get("SIGTERM")!();
  assertEquals([runtime.listeners.size, removed], [0, ["abort"]]);
  await now();
  assertEquals([runtime.seen.drains, over], [[4000], false]);
  runtime.finished.resolve();
  await served;
});

Deno.test("a server closes its socket once its work is drained, not before", async () => {
  using runtime = held();
  const drained = Promise.withResolvers<boolean>();
  const app = Object.assign(runtime.app, { drain: () => drained.promise });
  runtime.closed.resolve();
  const served = serve(app, { signal: AbortSignal.abort() });
  await now();
  assertEquals(runtime.seen.shutdowns, 0);
  drained.resolve(true);
  await served;
  assertEquals(runtime.seen.shutdowns, 1);
});

Deno.test("on Windows, which has no SIGTERM, a server ends by its signal alone", async () => {
  using runtime = held();
  const build = Object.getOwnPropertyDescriptor(Deno, "build")!;
  Object.defineProperty(Deno, "build", { ...build, value: { ...Deno.build, os: "windows" } });
  const { removeSignalListener } = Deno;
  const removed: string[] = [];
  Deno.removeSignalListener = (signal) => void removed.push(signal);
  try {
    const stop = new AbortController();
    runtime.closed.resolve();
    const served = serve(runtime.app, { signal: stop.signal });
    assertEquals(runtime.listeners.size, 0);
    stop.abort();
    await served;
    assertEquals([removed, runtime.seen.shutdowns], [[], 1]);
  } finally {
    Object.defineProperty(Deno, "build", build);
    Deno.removeSignalListener = removeSignalListener;
  }
});
