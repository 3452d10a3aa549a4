/** What a team's host and threads do in the memory that they share: in which order, and when they sleep. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { HostControl, type Run, ThreadControl } from "../src/engine/control.ts";
import { test } from "./ending.ts";

/** The words that somebody waits for, and those of a run, by their index. */
const CALLS = 0, FINISHED = 16, ACTIVE = 32, RUN = 64, MEMORY = 65, AT = 66, PHASE = 67;

type Replaced = Partial<
  Record<"wait" | "waitAsync" | "notify" | "load" | "store" | "add", unknown>
>;

/** Runs something with some of Atomics' functions replaced. */
async function withAtomics<T>(replaced: Replaced, body: () => T | Promise<T>): Promise<T> {
  const before = Object.fromEntries(
    Object.keys(replaced).map((name) => [name, Atomics[name as "wait"]]),
  );
  Object.assign(Atomics, replaced);
  try {
    return await body();
  } finally {
    Object.assign(Atomics, before);
  }
}

/** Looks once at what there is to do, as a thread does that has another message to read. */
function look(control: ThreadControl): Run[] {
  const seen: Run[] = [];
  control.serve(-1, (run) => seen.push(run) > 0);
  return seen;
}

const first: Run = { run: 1, memory: 5, at: 640, phase: 3 };

test("a host sleeps until a word changes, once each time", async () => {
  const host = new HostControl();
  const slept: [number, number][] = [];
  const woken: (() => void)[] = [];
  const waitAsync = (_: Int32Array, word: number, value: number) => {
    if (slept.push([word, value]) > 5) throw new Error("it does not sleep");
    return { async: true, value: new Promise<void>((resolve) => woken.push(resolve)) };
  };
  await withAtomics({ waitAsync }, async () => {
    const words = new Int32Array(host.buffer);
    const running = host.run({ ...first, run: 2 });
    words[FINISHED] = 1;
    woken[0]();
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(slept, [[FINISHED, 0], [FINISHED, 1]], "an earlier run is not its own");
    words[FINISHED] = 2;
    woken[1]();
    await running;
    words[ACTIVE] = 3;
    const settling = host.settle();
    words[ACTIVE] = 0;
    woken[2]();
    await settling;
    await host.settle();
    assertEquals(slept.slice(2), [[ACTIVE, 3]]);
  });
});

test("a run is written down whole before anybody is called to it", async () => {
  const host = new HostControl();
  const log: unknown[][] = [];
  const { store, notify } = Atomics;
  const run = await withAtomics({
    store: (words: Int32Array, word: number, value: number) => {
      log.push([word, value]);
      return store(words, word, value);
    },
    notify: (words: Int32Array, word: number) => {
      log.push(["notify", word]);
      return notify(words, word);
    },
  }, () => ({ over: host.run(first) }));
  assertEquals(log, [
    [RUN, 0],
    [MEMORY, 5],
    [AT, 640],
    [PHASE, 3],
    [RUN, 1],
    ["notify", CALLS],
  ]);
  host.end();
  await run.over;
});

test("who waits is told: threads of messages and runs, the host when the first thread is done and the last has left", async () => {
  const host = new HostControl();
  const [a, b] = [new ThreadControl(host.buffer), new ThreadControl(host.buffer)];
  const told: number[] = [];
  const { notify } = Atomics;
  await withAtomics({
    notify: (words: Int32Array, word: number) => {
      told.push(word);
      return notify(words, word);
    },
  }, async () => {
    host.letter();
    assertEquals(told.splice(0), [CALLS]);
    const running = host.run(first);
    assertEquals(told.splice(0), [CALLS]);
    // The second comes while the first is at it, and is the first to be done.
    let within: Run[] = [];
    a.serve(-1, () => {
      within = look(b);
      assertEquals(told.splice(0), [FINISHED], "the first is still in the run");
      return true;
    });
    assertEquals([within, told.splice(0)], [[first], [ACTIVE]]);
    await running;
    const trapped = () => {
      throw new Error("a kernel's trap");
    };
    const third = new ThreadControl(host.buffer);
    assertThrows(() => third.serve(-1, trapped), Error, "a kernel's trap");
    assertEquals(told.splice(0), [ACTIVE], "who fails has left, too");
    assertEquals(new Int32Array(host.buffer)[ACTIVE], 0);
    host.end();
    assertEquals(told, [FINISHED, ACTIVE]);
  });
});

test("what is half of one run and half of another is none, nor is one that is given up just then", async () => {
  for (const at of [MEMORY, AT, PHASE]) {
    const host = new HostControl();
    const words = new Int32Array(host.buffer);
    const running = host.run(first);
    const { load } = Atomics;
    const seen = await withAtomics({
      load: (from: Int32Array, word: number) => {
        const value = load(from, word);
        if (word === at) words[RUN] = 2;
        return value;
      },
    }, () => look(new ThreadControl(host.buffer)));
    assertEquals(seen, [], `${at}`);
    host.end();
    await running;
  }
  const host = new HostControl();
  const running = host.run(first);
  const { add } = Atomics;
  const seen = await withAtomics({
    add: (words: Int32Array, word: number, more: number) => {
      // Between a thread's look at the run and its taking part.
      if (word === ACTIVE) words[RUN] = 0;
      return add(words, word, more);
    },
  }, () => look(new ThreadControl(host.buffer)));
  assertEquals([seen, new Int32Array(host.buffer)[ACTIVE]], [[], 0]);
  host.end();
  await running;
});

test("a thread without work looks for a while, then sleeps until it is called", async () => {
  const host = new HostControl();
  const slept: [word: number, value: number][] = [], looks: number[] = [];
  let looked = 0;
  const next = [
    () => void host.run(first),
    () => host.letter(),
  ];
  const { load } = Atomics;
  host.letter();
  const performed: Run[] = [];
  await withAtomics({
    load: (words: Int32Array, word: number) => {
      if (word === CALLS && ++looked > 1_000_000) throw new Error("it does not sleep");
      return load(words, word);
    },
    wait: (_: Int32Array, word: number, value: number) => {
      slept.push([word, value]);
      looks.push(looked);
      looked = 0;
      next.shift()!();
      return "ok";
    },
    waitAsync: () => ({ async: true, value: new Promise(() => {}) }),
  }, () => new ThreadControl(host.buffer).serve(1, (run) => performed.push(run) > 0));
  assertEquals([slept, performed], [[[CALLS, 1], [CALLS, 2]], [first]]);
  // The next evaluation often follows at once: some 30 µs are waited for it.
  for (const count of looks) assert(count > 10_000 && count < 100_000, `${count} looks`);

  // Who is called while it looks does not look on.
  let calls = 0;
  looked = 0;
  const done = new HostControl();
  await withAtomics({
    load: (words: Int32Array, word: number) => {
      if (word === CALLS && ++looked === 50) done.letter();
      return load(words, word);
    },
    wait: () => (calls++, "not-equal"),
  }, () => new ThreadControl(done.buffer).serve(0, () => true));
  assertEquals([calls, looked], [1, 51]);
});
