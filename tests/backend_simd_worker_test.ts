/** The engine in a Web Worker, as pages have it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { serveSimd, simdWorker, WORKER_NAME } from "../src/backends/inline.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { openModel } from "../src/model/model.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { testBackend } from "./backend_contract.ts";
import { doubling, powers, ramp } from "./backend_models.ts";

const worker = new URL("./simd_worker.ts", import.meta.url);
const one = { x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } };

testBackend("simd in a worker", () => Promise.resolve(simdWorker({ worker })));

Deno.test("simd in a worker: a network's bits are those of the calling thread", async () => {
  const folder = await readFolder(filesAt(new URL("./golden/ddpm_legacy_fp16/", import.meta.url)));
  const x = ramp(2 * folder.network.shape.reduce((a, b) => a * b));
  const t = Float32Array.of(10, 500);
  await using here = await openModel(folder, simdInline());
  await using there = await openModel(folder, simdWorker({ worker }));
  assertEquals(await there.predict(x, t), await here.predict(x, t));
});

Deno.test("simd in a worker: the calling thread stays free while a network runs", async () => {
  const session = await simdWorker({ worker }).createSession(powers(256, 100).graph);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run({ x: { data: ramp(256 * 256).map((v) => v / 16), dims: [256, 256] } });
  clearInterval(timer);
  await session.close();
  assert(ticks > 1, `expected the event loop to turn during the run, it turned ${ticks} times`);
});

Deno.test("simd in a worker: one that dies fails its run; sessions go on with the next", async () => {
  const backend = simdWorker({ worker: `${worker}?dies` });
  const { graph } = doubling();
  const [first, second] = [await backend.createSession(graph), await backend.createSession(graph)];
  const expected = new Float32Array([2, 4, 6]);
  assertEquals((await first.run(one)).y.data, expected);
  await assertRejects(() => first.run(one), Error, "the worker died (");
  assertEquals((await second.run(one)).y.data, expected);
  await Promise.all([first.close(), second.close()]);
});

Deno.test("simd in a worker: one that cannot be started is an error", async () => {
  const backend = simdWorker({ worker: "data:application/javascript,throw new Error('no luck')" });
  await assertRejects(() => backend.createSession(doubling().graph), Error, "the worker died (");
});

Deno.test("simd in a worker: it lives while any session does, and no longer", async () => {
  const { Worker } = globalThis;
  const lives = { begun: 0, ended: 0 };
  globalThis.Worker = class extends Worker {
    constructor(module: string | URL, options?: WorkerOptions) {
      super(module, options);
      lives.begun++;
    }
    override terminate(): void {
      lives.ended++;
      super.terminate();
    }
  };
  try {
    const backend = simdWorker({ worker });
    const { graph } = doubling();
    const [first, second] = [
      await backend.createSession(graph),
      await backend.createSession(graph),
    ];
    await first.close();
    await first.close();
    assertEquals(lives, { begun: 1, ended: 0 }, "the second session is open");
    assertEquals((await second.run(one)).y.data, new Float32Array([2, 4, 6]));
    await second.close();
    assertEquals(lives, { begun: 1, ended: 1 }, "a worker would keep the program from ending");

    const third = await backend.createSession(graph);
    assertEquals((await third.run(one)).y.data, new Float32Array([2, 4, 6]));
    await third.close();
    assertEquals(lives, { begun: 2, ended: 2 });

    const unknown = powers(4, 1).graph;
    unknown.output("z", { ...unknown.outputs.get("y")!, node: { op: "none" } } as never);
    await assertRejects(() => backend.createSession(unknown));
    assertEquals(lives, { begun: 3, ended: 3 }, "nor does one in which nothing could be loaded");
  } finally {
    globalThis.Worker = Worker;
  }
});

/** A page's worker that answers when a test says so. */
class FakeWorker {
  static readonly all: FakeWorker[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: { message: string; preventDefault(): void }) => void) | null = null;
  readonly asked: [number, { kind: string; session: number; options?: unknown }][] = [];
  ended = 0;

  constructor(readonly module: string | URL, readonly options?: WorkerOptions) {
    FakeWorker.all.push(this);
  }

  postMessage(message: FakeWorker["asked"][number]): void {
    this.asked.push(message);
  }

  terminate(): void {
    this.ended++;
  }

  /** Answers the last request. */
  answer(reply: object): void {
    this.onmessage!({ data: { to: this.asked.at(-1)![0], ...reply } });
  }

  /** @returns whether the page's console is spared */
  die(message: string): boolean {
    let spared = false;
    this.onerror!({ message, preventDefault: () => void (spared = true) });
    return spared;
  }
}

/** Runs a test with fake workers in place of the page's. */
async function withFakes(body: (fakes: FakeWorker[]) => Promise<void>): Promise<void> {
  const { Worker } = globalThis;
  globalThis.Worker = FakeWorker as unknown as typeof Worker;
  FakeWorker.all.length = 0;
  try {
    await body(FakeWorker.all);
  } finally {
    globalThis.Worker = Worker;
  }
}

const created = { created: { inputNames: ["x"], outputNames: ["y"] } };
const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

Deno.test("simd in a worker: it is a module of a known name, and told the engine's options", () =>
  withFakes(async (fakes) => {
    const backend = simdWorker({ worker, compact: 5, arenaBytes: 7 });
    const { graph } = doubling();
    const opening = backend.createSession(graph);
    const [fake] = fakes;
    assertEquals([fake.module, fake.options], [worker, { type: "module", name: WORKER_NAME }]);
    assertEquals(fake.asked, [[0, {
      kind: "create",
      session: 0,
      graph,
      weights: undefined,
      options: { compact: 5, arenaBytes: 7 },
    } as never]]);
    fake.answer(created);
    const { inputNames, outputNames } = await opening;
    assertEquals([inputNames, outputNames], [["x"], ["y"]]);
  }));

Deno.test("simd in a worker: one that dies says why, spares the page's console, and is asked for nothing more", () =>
  withFakes(async (fakes) => {
    const backend = simdWorker({ worker });
    const { graph } = doubling();
    for (
      const [message, why] of [["out of luck", "out of luck"], ["", "it could not be started"]]
    ) {
      const opening = backend.createSession(graph);
      assertEquals(fakes.at(-1)!.die(message), true);
      await assertRejects(() => opening, Error, `the worker died (${why}); this run is lost`);
    }
    assertEquals(fakes.length, 2);

    const opening = backend.createSession(graph);
    fakes[2].answer(created);
    const session = await opening;
    const running = session.run(one);
    await turn();
    fakes[2].die("out of luck");
    await assertRejects(() => running, Error, "this run is lost");
    // The next worker is told of the session first.
    const again = session.run(one);
    await turn();
    assertEquals(fakes[3].asked.map(([, { kind }]) => kind), ["create"]);
    fakes[3].answer(created);
    await turn();
    fakes[3].answer({ results: { y: one.x } });
    assertEquals((await again).y, one.x);

    // Who dies while it closes a session has closed it.
    const closing = session.close();
    await turn();
    fakes[3].die("too late");
    await closing;
    assertEquals(fakes.length, 4);
  }));

Deno.test("simd in a worker: what could not be loaded holds no worker that others use", () =>
  withFakes(async (fakes) => {
    const backend = simdWorker({ worker });
    const { graph } = doubling();
    const good = backend.createSession(graph);
    fakes[0].answer(created);
    await good;
    const bad = backend.createSession(graph);
    fakes[0].answer({ error: "no kernel" });
    await assertRejects(() => bad, Error, "no kernel");
    assertEquals([fakes.length, fakes[0].ended], [1, 0]);
    const closing = (await good).close();
    await turn();
    fakes[0].answer({ closed: true });
    await closing;
    assertEquals(fakes[0].ended, 1);
  }));

Deno.test("simd in a worker: a page without workers computes in its own thread, with the same options", async () => {
  const { Worker } = globalThis;
  delete (globalThis as { Worker?: unknown }).Worker;
  try {
    const session = await simdWorker({ worker, arenaBytes: 1 }).createSession(doubling().graph);
    assertEquals((await session.run(one)).y.data, new Float32Array([2, 4, 6]));
    const { engine } = session as unknown as { engine: { batch: { most: number } } };
    assertEquals(engine.batch.most, 1, "an arena of one byte has room for one picture");
    await session.close();
  } finally {
    globalThis.Worker = Worker;
  }
});

Deno.test("the worker's side: each request is answered by its number, failures by their message", async () => {
  const scope = globalThis as unknown as {
    onmessage: ((event: { data: unknown }) => void) | null;
    postMessage?: (reply: unknown, transfer?: unknown[]) => void;
  };
  const before = [scope.onmessage, scope.postMessage] as const;
  const replies: Record<string, unknown>[] = [], moved: unknown[][] = [];
  scope.postMessage = (reply, transfer = []) => {
    replies.push(reply as Record<string, unknown>);
    moved.push(transfer);
  };
  try {
    serveSimd();
    const ask = async (to: number, request: object) => {
      scope.onmessage!({ data: [to, request] });
      const found = () => replies.find((reply) => reply.to === to);
      for (let turns = 0; !found(); turns++) {
        assert(turns < 5000, `request ${to} is not answered`);
        await turn();
      }
      return found()!;
    };
    const { graph } = doubling();
    const create = { kind: "create", session: 3, graph, options: {} };
    assertEquals(await ask(10, create), { to: 10, ...created });
    const { results } = await ask(11, { kind: "run", session: 3, feeds: one }) as {
      results: { y: { data: Float32Array } };
    };
    assertEquals(results.y.data, new Float32Array([2, 4, 6]));
    assertEquals(moved.at(-1), [results.y.data.buffer], "results are moved, not copied");
    const wrong = await ask(12, { kind: "run", session: 3, feeds: {} });
    assertEquals(wrong, { to: 12, error: "simd: expected the inputs x, found none" });
    assertEquals(await ask(13, { kind: "close", session: 3 }), { to: 13, closed: true });
    assert("error" in await ask(14, { kind: "run", session: 3, feeds: one }), "it is closed");
    // The options are the engine's: this is no module.
    const options = { module: "none" };
    assert("error" in await ask(15, { kind: "create", session: 4, graph, options }));
  } finally {
    [scope.onmessage, scope.postMessage] = before;
  }
});
