import { assert, assertEquals, assertRejects } from "@std/assert";
import { Batcher, type Evaluation } from "../src/sampling/batcher.ts";
import { fakeNetwork } from "./fake_network.ts";

const x = (value: number) => new Float32Array(4).fill(value);

Deno.test("calls that are made together share one evaluation, each with its own t", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const answers = await Promise.all([1, 2, 3].map((t) => batcher.evaluate({ x: x(t), t })));
  assertEquals(network.batches, [[1, 2, 3]]);
  assertEquals(answers.map((a) => a[0]), [1, 2, 3].map((t) => network.output(t, t)));
});

Deno.test("samplers at different steps go on sharing evaluations", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const walk = async (from: number) => {
    for (let t = from; t >= 0; t--) await batcher.evaluate({ x: x(t), t });
  };
  await Promise.all([walk(3), walk(9), walk(5)]);
  assertEquals(network.batches.map((b) => b.length), [3, 3, 3, 3, 2, 2, 1, 1, 1, 1]);
});

Deno.test("a call that comes while the network is busy joins the next evaluation", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const first = batcher.evaluate({ x: x(1), t: 1 });
  await network.started();
  const late = batcher.evaluate({ x: x(2), t: 2 });
  const after = first.then(() => batcher.evaluate({ x: x(3), t: 3 }));
  await Promise.all([late, after]);
  assertEquals(network.batches.map((b) => b.toSorted()), [[1], [2, 3]]);
});

Deno.test("evaluations never overlap", async () => {
  const network = fakeNetwork({ milliseconds: 2 });
  const batcher = new Batcher(network, { maxBatch: 2 });
  await Promise.all(Array.from({ length: 9 }, (_, t) => batcher.evaluate({ x: x(t), t })));
  assertEquals(network.mostAtOnce, 1);
  assertEquals(network.batches.map((b) => b.length), [2, 2, 2, 2, 1]);
});

Deno.test("an aborted call leaves before its evaluation begins", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const stop = new AbortController();
  const busy = batcher.evaluate({ x: x(1), t: 1 });
  await network.started();
  const gone = batcher.evaluate({ x: x(2), t: 2, signal: stop.signal });
  const stays = batcher.evaluate({ x: x(3), t: 3 });
  stop.abort(new Error("client left"));
  await assertRejects(() => gone, Error, "client left");
  await Promise.all([busy, stays]);
  assertEquals(network.batches, [[1], [3]]);
});

Deno.test("a call with an aborted signal costs nothing", async () => {
  const network = fakeNetwork();
  const signal = AbortSignal.abort(new Error("too late"));
  await assertRejects(
    () => new Batcher(network).evaluate({ x: x(1), t: 1, signal }),
    Error,
    "too late",
  );
  assertEquals(network.batches, []);
});

Deno.test("a failing evaluation fails the calls in it and no others", async () => {
  const network = fakeNetwork({ failAt: (t) => t === 2 });
  const batcher = new Batcher(network);
  const failing = ["a", "b"].map(() => batcher.evaluate({ x: x(2), t: 2 }));
  await network.started();
  const fine = batcher.evaluate({ x: x(1), t: 1 });
  for (const call of failing) await assertRejects(() => call, Error, "the engine failed");
  assertEquals((await fine)[0], network.output(1, 1));
  await batcher.evaluate({ x: x(1), t: 1 });
});

Deno.test("evaluations are reported with batch, time and what waits", async () => {
  const seen: Evaluation[] = [];
  const batcher = new Batcher(fakeNetwork({ failAt: (t) => t === 4 }), {
    maxBatch: 2,
    onEvaluation: (evaluation) => seen.push(evaluation),
  });
  const calls = [0, 1, 2, 3, 4].map((t) => batcher.evaluate({ x: x(t), t }));
  await Promise.allSettled(calls);
  assertEquals(seen.map(({ batch, pending, failed }) => ({ batch, pending, failed })), [
    { batch: 2, pending: 3, failed: false },
    { batch: 2, pending: 1, failed: false },
    { batch: 1, pending: 0, failed: true },
  ]);
  assert(seen.every(({ milliseconds }) => milliseconds >= 0));
});

Deno.test("a sampler that pauses does not hold up the others", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  let resume = () => {};
  const paused = (async () => {
    await batcher.evaluate({ x: x(1), t: 1 });
    await new Promise<void>((resolve) => resume = resolve);
    await batcher.evaluate({ x: x(1), t: 1 });
  })();
  for (let t = 5; t > 1; t--) await batcher.evaluate({ x: x(t), t });
  resume();
  await paused;
  assertEquals(network.batches, [[1, 5], [4], [3], [2], [1]]);
});
