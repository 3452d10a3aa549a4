/** How a team's host and its threads come together: told by threads that a test moves step by step. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HostControl, type Run, ThreadControl } from "../src/engine/control.ts";
import { inlineCrew } from "../src/engine/inline_crew.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { ABORTED, PHASE, SYNC_WORDS } from "../src/engine/layout.ts";
import { type Team, teamOf, type Thread, type ThreadEvents } from "../src/engine/team.ts";
import { threadBody, type ThreadReply, type ThreadRequest } from "../src/engine/worker_body.ts";
import { test } from "./ending.ts";

const shared = () => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const wordsOf = (memory: WebAssembly.Memory) => new Int32Array(memory.buffer);

/** Looks once at what there is to do, as a thread does that has another message to read. */
function look(control: ThreadControl, perform: (run: Run) => boolean = () => true): Run[] {
  const seen: Run[] = [];
  control.serve(-1, (run) => {
    seen.push(run);
    return perform(run);
  });
  return seen;
}

/** Whether a promise is settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  const late = Symbol();
  const later = new Promise((resolve) => setTimeout(resolve, 0, late));
  return await Promise.race([promise.catch(() => {}), later]) !== late;
}

test("a run is carried out by every thread once, and is over when the first has done it", async () => {
  const host = new HostControl();
  const [a, b] = [new ThreadControl(host.buffer), new ThreadControl(host.buffer)];
  assertEquals(look(a), [], "nothing is to be done");
  const first = { run: 1, memory: 5, at: 640, phase: 3 };
  const running = host.run(first);
  assertEquals(await settled(running), false);
  assertEquals(look(a), [first]);
  await running;
  assertEquals([look(a), look(b), look(b)], [[], [first], []], "who comes late joins, once");
  const second = { run: 2, memory: 6, at: 64, phase: 4 };
  const next = host.run(second);
  assertEquals([look(b), look(a)], [[second], [second]]);
  await next;
});

test("a thread that does not know the memory yet leaves the run to others, and takes it later", async () => {
  const host = new HostControl();
  const thread = new ThreadControl(host.buffer);
  const run = { run: 1, memory: 0, at: 0, phase: 0 };
  const running = host.run(run);
  assertEquals(look(thread, () => false), [run]);
  assertEquals(await settled(running), false);
  assertEquals(look(thread), [run]);
  await running;
});

test("commands may be written over when no thread is at them, and none begins them afterwards", async () => {
  const host = new HostControl();
  const run = { run: 1, memory: 0, at: 0, phase: 0 };
  const running = host.run(run);
  let settling: Promise<void> | undefined;
  const thread = new ThreadControl(host.buffer);
  look(thread, () => {
    settling = host.settle();
    return true;
  });
  await Promise.all([running, settling]);
  const late = new ThreadControl(host.buffer);
  assertEquals(look(late), [], "it is over");

  await host.settle();
});

test("who waits for a dead team is let go", async () => {
  const host = new HostControl();
  const running = host.run({ run: 1, memory: 0, at: 0, phase: 0 });
  assertEquals(await settled(running), false);
  host.end();
  await running;
  await host.settle();

  // A thread that died within a run never leaves it.
  const other = new HostControl();
  new Int32Array(other.buffer)[32] = 2;
  const settling = other.settle();
  assertEquals(await settled(settling), false);
  other.end();
  await settling;
});

/** A thread that does what a test has it do. */
class FakeThread implements Thread {
  readonly posted: ThreadRequest[] = [];
  readonly held: boolean[] = [];
  ended = false;
  readonly #opened = new Set<number>();
  #control: ThreadControl | undefined;

  constructor(readonly events: ThreadEvents) {}

  post(request: ThreadRequest): void {
    this.posted.push(request);
    if (request.kind === "start") this.#control = new ThreadControl(request.control);
    if (request.kind === "open") this.#opened.add(request.id);
  }

  hold(held: boolean): void {
    this.held.push(held);
  }

  terminate(): Promise<void> {
    this.ended = true;
    return Promise.resolve();
  }

  /** Takes part in what there is to do. */
  work(): Run[] {
    return look(this.#control!, ({ memory }) => this.#opened.has(memory));
  }
}

function fakeTeam(count = 2): { team: Team; threads: FakeThread[] } {
  const threads: FakeThread[] = [];
  const team = teamOf(count, (events) => {
    threads.push(new FakeThread(events));
    return threads.at(-1)!;
  });
  return { team, threads };
}

/** Lets everything that can go on, go on. */
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

test("threads are started when they are needed, and told who they are and what is opened", async () => {
  const { team, threads } = fakeTeam();
  const memories = [shared(), shared()];
  const [first, second] = await Promise.all(memories.map((memory) => team.open(memory)));
  assertEquals([team.threads, team.shared, threads.length], [2, true, 0]);
  wordsOf(memories[0])[PHASE / 4] = 7;
  const runs = [first.run(64), first.run(128), second.run(192)];
  assertEquals(threads.map(({ posted }) => posted.map(({ kind }) => kind)), [
    ["start", "open", "open"],
    ["start", "open", "open"],
  ]);
  const starts = threads.map(({ posted: [start] }) => start as ThreadRequest & { kind: "start" });
  assertEquals(starts.map(({ thread, threads }) => [thread, threads]), [[0, 2], [1, 2]]);
  assert(starts[0].control === starts[1].control && starts[0].kernels !== starts[1].kernels);
  assertEquals(
    threads[0].posted.slice(1),
    memories.map((memory, id) => ({ kind: "open", id, memory })),
  );
  assertEquals(new Int32Array(starts[0].control)[48], 3, "letters: who is in runs looks for them");
  const worked: Run[] = [];
  for (const run of runs) {
    await turn();
    worked.push(...threads[1].work());
    await run;
  }
  assertEquals(worked, [
    { run: 1, memory: 0, at: 64, phase: 7 },
    { run: 2, memory: 0, at: 128, phase: 7 },
    { run: 3, memory: 1, at: 192, phase: 0 },
  ]);
  first.close();
  assertEquals(threads[0].posted.at(-1), { kind: "close", id: 0 });
  assertEquals(threads[0].ended, false);
  second.close();
  assert(threads.every(({ ended }) => ended));
});

test("the process may not end while anything is under way, and may as soon as nothing is", async () => {
  const { team, threads } = fakeTeam(1);
  const opened = await team.open(shared());
  team.start();
  const [thread] = threads;
  assertEquals(thread.held, []);
  const runs = [opened.run(0), opened.run(0)];
  assertEquals(thread.held, [true]);
  for (const run of runs) {
    await turn();
    assertEquals(thread.held, [true]);
    thread.work();
    await run;
  }
  await turn();
  assertEquals(thread.held, [true, false]);
  await opened.settle();
  await turn();
  assertEquals(thread.held, [true, false, true, false]);
  opened.close();
});

for (
  const [how, dies] of [
    ["ends", ({ events }: FakeThread) => events.died("out of luck")],
    [
      "fails",
      ({ events }: FakeThread) => events.reply({ kind: "failed", message: "out of luck" }),
    ],
  ] as const
) {
  test(`a thread that ${how} takes its team with it; the next run has a new one on clean memory`, async () => {
    const { team, threads } = fakeTeam();
    const memories = [shared(), shared()];
    const [one, other] = await Promise.all(memories.map((memory) => team.open(memory)));
    const lost = [one.run(0), one.run(0), other.run(0)];
    await turn();
    dies(threads[0]);
    threads[1].events.died("it was ended");
    for (const run of lost) {
      await assertRejects(() => run, Error, "the worker died (out of luck); this run is lost");
    }
    assert(threads.every(({ ended }) => ended));
    for (const memory of memories) {
      assertEquals(wordsOf(memory)[ABORTED / 4], 1, "threads that wait in it give up");
    }
    await one.settle();
    assertEquals(threads.length, 2);
    for (let turns = 0; turns < 100 && threads.some(({ held }) => held.at(-1)); turns++) {
      await turn();
    }
    const held = threads.map((thread) => thread.held);
    assertEquals(held, [[true, false], [true, false]], "the process may end");

    const [words] = memories.map(wordsOf);
    words.fill(9, SYNC_WORDS.from / 4 - 1, SYNC_WORDS.to / 4 + 1);
    const run = one.run(0);
    assertEquals(threads.length, 4);
    await turn();
    const clean = words.slice(SYNC_WORDS.from / 4 - 1, SYNC_WORDS.to / 4 + 1);
    assertEquals([clean[0], clean.at(-1), new Set(clean.slice(1, -1))], [9, 9, new Set([0])]);
    assertEquals(threads[2].posted.map(({ kind }) => kind), ["start", "open"]);
    words[SYNC_WORDS.from / 4] = 5;
    threads[3].work();
    await run;
    const next = one.run(0);
    await turn();
    assertEquals(words[SYNC_WORDS.from / 4], 5, "only after a death");
    threads[2].work();
    await next;

    one.close();
    other.close();
    assert(threads.every(({ ended }) => ended));
    assertEquals(threads[0].posted.at(-1)!.kind, "open", "the dead are told nothing");
  });
}

test("a team is ended by name, and lives while any memory is open", async () => {
  const { team, threads } = fakeTeam(1);
  await team.terminate();
  team.release();
  assertEquals(threads.length, 0);
  const opened = [await team.open(shared()), await team.open(shared())];
  const run = opened[0].run(0);
  await team.terminate();
  await assertRejects(() => run, Error, "the worker died (it was ended)");
  team.start();
  team.start();
  assertEquals(threads.length, 2, "one that is dead, one that lives");
  opened[0].close();
  opened[0].close();
  team.release();
  assertEquals(threads[1].ended, false);
  opened[1].close();
  assertEquals(threads[1].ended, true);
});

test("a thread knows a memory until it is closed, and says why it can go on no more", async () => {
  const replies: ThreadReply[] = [];
  const host = new HostControl();
  const tell = threadBody((reply) => replies.push(reply));
  const kernels = kernelBytes().slice().buffer;
  tell({ kind: "start", thread: 0, threads: 1, kernels, control: host.buffer });
  const memory = shared();
  tell({ kind: "open", id: 3, memory });
  // A list of no commands begins with its length.
  const first = host.run({ run: 1, memory: 3, at: 1024, phase: 0 });
  tell({ kind: "open", id: 4, memory: shared() });
  await first;
  assertEquals(wordsOf(memory)[PHASE / 4] >= 0, true);
  tell({ kind: "close", id: 3 });
  const second = host.run({ run: 2, memory: 3, at: 1024, phase: 0 });
  tell({ kind: "close", id: 9 });
  assertEquals(await settled(second), false, "the memory is not its any more");
  host.end();
  await second;
  assertEquals(replies, []);
  tell({ kind: "open", id: 5, memory: {} as WebAssembly.Memory });
  assertEquals(replies.map(({ kind }) => kind), ["failed"]);
  assert((replies[0] as { message: string }).message.length > 0);
});

test("in the calling thread kernels are compiled once, and not where they come compiled", async () => {
  const module = new WebAssembly.Module(unshared(kernelBytes()));
  const { Module } = WebAssembly;
  let compiled = 0;
  WebAssembly.Module = new Proxy(Module, {
    construct(target, given: [BufferSource]) {
      compiled++;
      return new target(...given);
    },
  });
  try {
    const memory = () => new WebAssembly.Memory({ initial: 1, maximum: 65536 });
    const ahead = inlineCrew(module);
    for (const opened of [await ahead.open(memory()), await ahead.open(memory())]) opened.close();
    assertEquals([compiled, ahead.threads, ahead.shared], [0, 1, false]);
    const own = inlineCrew();
    assertEquals(compiled, 0, "not before a memory is there");
    await own.open(memory());
    await own.open(memory());
    assertEquals(compiled, 1);
  } finally {
    WebAssembly.Module = Module;
  }
});

test("a team has ended when each of its threads has", async () => {
  const { team, threads } = fakeTeam();
  const ends = [0, 1].map(() => Promise.withResolvers<void>());
  team.start();
  threads.forEach((thread, i) => thread.terminate = () => ends[i].promise);
  const ended = team.terminate();
  ends[0].resolve();
  assertEquals(await settled(ended), false);
  ends[1].resolve();
  await ended;
});

test("a team that dies as it starts is known to be dead", async () => {
  const team = teamOf(2, (events) => ({
    post: () => events.reply({ kind: "failed", message: "no luck" }),
    hold() {},
    terminate: () => Promise.resolve(),
  }));
  const opened = await team.open(shared());
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => opened.run(0), Error, "the worker died (no luck); this run is lost");
  }
});
