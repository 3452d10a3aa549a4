/** What the routes share: who is listened to, and how fast work is done. */
import { assertEquals, assertRejects } from "@std/assert";
import { once } from "../src/server/http/once.ts";
import { whileConnected } from "../src/server/http/services.ts";
import { Metrics } from "../src/server/metrics.ts";
import { Problem } from "../src/server/problem.ts";
import type { Engine } from "../src/server/work/engine.ts";
import { defaultLimits } from "../src/server/work/limits.ts";
import { PictureService } from "../src/server/work/picture_service.ts";

/** A request whose client leaves when a test says so, and who listens for that. */
function connected() {
  const listening = new Set<unknown>();
  const signal = {
    aborted: false,
    addEventListener: (_: string, listener: unknown) => void listening.add(listener),
    removeEventListener: (_: string, listener: unknown) => void listening.delete(listener),
  };
  const leave = () => {
    signal.aborted = true;
    for (const listener of listening) (listener as () => void)();
  };
  return { request: { signal } as unknown as Request, listening, leave };
}

Deno.test("work ends when its client leaves; once it is done, or has failed, nobody listens", async () => {
  const { request, listening, leave } = connected();
  let seen!: AbortSignal;
  const done = await whileConnected(request, (signal) => {
    seen = signal;
    assertEquals(listening.size, 1);
    return Promise.resolve(7);
  });
  assertEquals([done, listening.size, seen.aborted], [7, 0, false]);
  const failing = whileConnected(request, () => Promise.reject(new Error("broke")));
  await assertRejects(() => failing, Error, "broke");
  assertEquals(listening.size, 0);
  const ends = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const left = whileConnected(request, ends);
  leave();
  const problem = await assertRejects(() => left, Problem) as Problem;
  assertEquals([problem.status, problem.reason], [499, "disconnected"]);
  const before = whileConnected(request, ends);
  await assertRejects(() => before, Problem, "the client left");
});

Deno.test("when to come again goes by the fastest engine", () => {
  const engines = new Map([2, 10, 5].map((perSecond, i) => [`${i}`, { perSecond } as Engine]));
  const { admission, cache } = new PictureService(defaultLimits, engines, new Metrics());
  assertEquals(admission.costPerSecond(), 10);
  assertEquals([admission.limits.maxQueue, cache.maxBytes], [20_000, 33_554_432]);
});

Deno.test("what is made once is made when it is first asked for, also where it is nothing", () => {
  for (const value of [7, undefined, null]) {
    let made = 0;
    const get = once(() => (made++, value));
    assertEquals(made, 0);
    assertEquals([get(), get(), made], [value, value, 1]);
  }
});
