import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { Batcher, type Evaluation } from "../src/sampling/batcher.ts";
import { answer, fakeNetwork, gate, settled } from "./sampling_network.ts";

const x = (value: number) => new Float32Array(16).fill(value);
const sizes = (network: ReturnType<typeof fakeNetwork>) => network.asked.map(({ t }) => t.length);

Deno.test("calls of one moment are one evaluation, each at its own t", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const times = [999, 500.5, 0];
  const outputs = await Promise.all(times.map((t, i) => batcher.evaluate({ x: x(i + 1), t })));
  assertEquals(network.asked.map(({ t }) => t), [times]);
  assertEquals(outputs, times.map((t, i) => x(answer(i + 1, t))));
});

Deno.test("an evaluation waits for samplers that still have microtasks to run", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const late = async () => {
    for (let i = 0; i < 1000; i++) await null;
    return batcher.evaluate({ x: x(1), t: 1 });
  };
  await Promise.all([batcher.evaluate({ x: x(1), t: 2 }), late()]);
  assertEquals(sizes(network), [2]);
});

Deno.test("a sampler that stands still is not waited for", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const paused = gate();
  const sampler = async (pause: Promise<void>) => {
    await batcher.evaluate({ x: x(1), t: 2 });
    await pause;
    await batcher.evaluate({ x: x(1), t: 1 });
  };
  const slow = sampler(paused.opened);
  await sampler(Promise.resolve());
  assertEquals(sizes(network), [2, 1]);
  paused.open();
  await slow;
  assertEquals(sizes(network), [2, 1, 1]);
});

Deno.test("who comes during an evaluation joins the next one; none overlap", async () => {
  const door = gate();
  const network = fakeNetwork({
    before: () => network.asked.length === 1 ? door.opened : undefined,
  });
  const batcher = new Batcher(network);
  const first = batcher.evaluate({ x: x(1), t: 9 }).then(() => batcher.evaluate({ x: x(1), t: 8 }));
  await settled();
  const joined = [3, 4].map((t) => batcher.evaluate({ x: x(1), t }));
  await settled();
  assertEquals([sizes(network), batcher.pending], [[1], 2]);
  door.open();
  await Promise.all([first, ...joined]);
  assertEquals(network.asked.map(({ t }) => t), [[9], [3, 4, 8]]);
  assertEquals(network.mostAtOnce(), 1);
});

Deno.test("more calls than maxBatch are split in the order they came", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network, { maxBatch: 2 });
  await Promise.all([5, 4, 3, 2, 1].map((t) => batcher.evaluate({ x: x(1), t })));
  assertEquals(network.asked.map(({ t }) => t), [[5, 4], [3, 2], [1]]);
  assertEquals(network.mostAtOnce(), 1);
});

Deno.test("an aborted call is out before the next evaluation; its neighbours stay", async () => {
  const door = gate();
  const network = fakeNetwork({
    before: () => network.asked.length === 1 ? door.opened : undefined,
  });
  const batcher = new Batcher(network);
  const running = batcher.evaluate({ x: x(1), t: 9 });
  await settled();
  const controller = new AbortController();
  const leaving = batcher.evaluate({ x: x(1), t: 7, signal: controller.signal });
  const staying = batcher.evaluate({ x: x(1), t: 5 });
  controller.abort(new Error("left"));
  await assertRejects(() => leaving, Error, "left");
  assertEquals(batcher.pending, 1);
  door.open();
  await Promise.all([running, staying]);
  assertEquals(network.asked.map(({ t }) => t), [[9], [5]]);
});

Deno.test("a call given up during its evaluation rejects at once; its neighbours are answered", async () => {
  const door = gate();
  const network = fakeNetwork({ before: () => door.opened });
  const batcher = new Batcher(network);
  const controller = new AbortController();
  const leaving = batcher.evaluate({ x: x(1), t: 7, signal: controller.signal });
  const staying = batcher.evaluate({ x: x(2), t: 7 });
  await settled();
  const waiting = [4, 3].map((t) => batcher.evaluate({ x: x(3), t }));
  controller.abort(new Error("left"));
  await assertRejects(() => leaving, Error, "left");
  assertEquals(batcher.pending, 2, "who waits for the next one stays there");
  door.open();
  assertEquals(await staying, x(answer(2, 7)));
  assertEquals(await Promise.all(waiting), [4, 3].map((t) => x(answer(3, t))));
});

Deno.test("when every call was aborted nothing is evaluated, and the batcher goes on", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const controller = new AbortController();
  const leaving = batcher.evaluate({ x: x(1), t: 7, signal: controller.signal });
  controller.abort(new Error("left"));
  await assertRejects(() => leaving, Error, "left");
  await assertRejects(() => batcher.evaluate({ x: x(1), t: 7, signal: controller.signal }));
  await settled();
  assertEquals(sizes(network), []);
  await batcher.evaluate({ x: x(1), t: 6 });
  assertEquals(sizes(network), [1]);
});

Deno.test("a failing evaluation fails the calls in it and no others", async () => {
  const network = fakeNetwork({
    before({ t }) {
      if (t.includes(13)) throw new Error("out of memory");
    },
  });
  const events: Evaluation[] = [];
  const batcher = new Batcher(network, { maxBatch: 2, onEvaluation: (e) => events.push(e) });
  const calls = [1, 2, 13, 4, 5].map((t) => batcher.evaluate({ x: x(1), t }));
  const results = await Promise.allSettled(calls);
  assertEquals(results.map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
    "fulfilled",
  ]);
  assertEquals(events.map(({ batch, pending, failed }) => ({ batch, pending, failed })), [
    { batch: 2, pending: 3, failed: false },
    { batch: 2, pending: 1, failed: true },
    { batch: 1, pending: 0, failed: false },
  ]);
  assert(events.every(({ milliseconds }) => milliseconds >= 0));
});

Deno.test("a sampler's picture of the wrong size does not spoil its neighbours' evaluation", async () => {
  const network = fakeNetwork();
  const batcher = new Batcher(network);
  const good = batcher.evaluate({ x: x(1), t: 1 });
  await assertRejects(
    () => batcher.evaluate({ x: new Float32Array(5), t: 1 }),
    InputError,
    "expected 16 numbers ([1,4,4]), found 5",
  );
  assertEquals(await good, x(answer(1, 1)));
});

Deno.test("a network that answers too little is found out", async () => {
  const network = { ...fakeNetwork(), predict: () => Promise.resolve(new Float32Array(3)) };
  await assertRejects(
    () => new Batcher(network).evaluate({ x: x(1), t: 1 }),
    Error,
    "expected an output of 16 numbers, found 3",
  );
});

Deno.test("classes travel with their calls", async () => {
  const network = fakeNetwork({ labels: ["a", "b", "c"] });
  const batcher = new Batcher(network);
  const outputs = await Promise.all(
    [2, 0].map((label) => batcher.evaluate({ x: x(1), t: 4, label })),
  );
  assertEquals(network.asked[0].labels, [2, 0]);
  assertEquals(outputs, [x(answer(1, 4, 2)), x(answer(1, 4, 0))]);
  await batcher.evaluate({ x: x(1), t: 4 });
  assertEquals(network.asked[1].labels, [-1], "none is not the first");
});

Deno.test("a maxBatch below one is refused", () => {
  for (const maxBatch of [0, 1.5, NaN]) {
    const says = `maxBatch: expected a whole number from 1, found ${maxBatch}`;
    assertThrows(() => new Batcher(fakeNetwork(), { maxBatch }), InputError, says);
  }
});

Deno.test("an output that is not finite fails its own call, and says whose doing it was", async () => {
  const network = fakeNetwork();
  const predict = network.predict.bind(network);
  const overflowing = {
    ...network,
    predict: async (...asked: Parameters<typeof predict>) => {
      const output = await predict(...asked);
      asked[1].forEach((t, n) => t === 13 && output.fill(Infinity, n * 16 + 15, n * 16 + 16));
      return output;
    },
  };
  const batcher = new Batcher(overflowing);
  const good = batcher.evaluate({ x: x(1), t: 5 });
  const bad = batcher.evaluate({ x: x(1), t: 13 });
  const given = batcher.evaluate({ x: x(NaN), t: 7 });
  await Promise.all([
    assertRejects(() => bad, InputError, "t = 13 is not finite (NaN or infinite): its numbers"),
    assertRejects(() => given, InputError, "t = 7 is not finite (NaN or infinite): x_t was not"),
  ]);
  assertEquals(await good, x(answer(1, 5)));
});

Deno.test("a listener that throws costs no call its answer", async () => {
  const said = console.error;
  const heard: unknown[] = [];
  console.error = (...words) => heard.push(words[1]);
  try {
    const failure = new Error("metrics broke");
    const batcher = new Batcher(fakeNetwork(), {
      maxBatch: 1,
      onEvaluation() {
        throw failure;
      },
    });
    const calls = [9, 8, 7].map((t) => batcher.evaluate({ x: x(1), t }));
    assertEquals(await Promise.all(calls), [9, 8, 7].map((t) => x(answer(1, t))));
    await batcher.idle();
    assertEquals(heard, [failure, failure, failure]);
  } finally {
    console.error = said;
  }
});

Deno.test("calls that were answered listen no longer to their signal", async () => {
  const batcher = new Batcher(fakeNetwork());
  const { signal } = new AbortController();
  let listening = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
    listening++;
    addEventListener.apply(signal, given);
  };
  signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
    listening--;
    removeEventListener.apply(signal, given);
  };
  await Promise.all([3, 2, 1].map((t) => batcher.evaluate({ x: x(1), t, signal })));
  await batcher.idle();
  assertEquals(listening, 0);
});

Deno.test("sixteen calls are in one evaluation where nobody says how many, and its time is the network's", async () => {
  const { now } = performance;
  let time = 1000;
  performance.now = () => time;
  try {
    const network = fakeNetwork({ before: () => void (time += 250) });
    const events: Evaluation[] = [];
    const batcher = new Batcher(network, { onEvaluation: (event) => events.push(event) });
    assertEquals([batcher.maxBatch, new Batcher(network).maxBatch], [16, 16]);
    const calls = Array.from({ length: 17 }, (_, t) => batcher.evaluate({ x: x(1), t }));
    await Promise.all(calls);
    await batcher.idle();
    assertEquals(events, [
      { batch: 16, milliseconds: 250, pending: 1, failed: false },
      { batch: 1, milliseconds: 250, pending: 0, failed: false },
    ]);
  } finally {
    performance.now = now;
  }
});

Deno.test("where there is no setImmediate a message is waited for, and its port closed", async () => {
  const { setImmediate, MessageChannel } = globalThis;
  let open = 0;
  globalThis.MessageChannel = class extends MessageChannel {
    constructor() {
      super();
      open++;
      const close = this.port1.close.bind(this.port1);
      this.port1.close = () => (open--, close());
    }
  };
  try {
    Object.assign(globalThis, { setImmediate: undefined });
    const network = fakeNetwork();
    const batcher = new Batcher(network);
    const late = Promise.resolve().then(() => batcher.evaluate({ x: x(1), t: 1 }));
    await Promise.all([batcher.evaluate({ x: x(1), t: 2 }), late]);
    await batcher.idle();
    assertEquals([sizes(network), open], [[2], 0]);
  } finally {
    Object.assign(globalThis, { setImmediate, MessageChannel });
  }
});
