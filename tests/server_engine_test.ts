/** One set of weights at work: warmed up, watched, asked again, replaced when it breaks. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Metrics } from "../src/server/metrics.ts";
import { Problem } from "../src/server/problem.ts";
import { Engine, type EngineOptions } from "../src/server/work/engine.ts";
import type { ServedModel } from "../src/server/mod.ts";
import { FAKE_HASH, type FakeModel, fakeModel, type FakeOptions } from "./server_fake.ts";

/** A network that counts how often it was closed. */
function closing(options: FakeOptions = {}) {
  const closed = { times: 0 };
  const close = () => Promise.resolve(void closed.times++);
  const model = fakeModel(options);
  return { model: Object.assign(model, { close }) as FakeModel & ServedModel, closed };
}

function make(model: ServedModel, options: Partial<EngineOptions> = {}) {
  const metrics = new Metrics();
  const log: string[] = [];
  const engine = new Engine("w", model, {
    maxBatch: 16,
    hangMs: 60_000,
    metrics,
    log: (entry) => log.push(`${entry.level} ${entry.message} of ${entry.weights}: ${entry.error}`),
    ...options,
  });
  const call = () => engine.batcher.evaluate({ x: new Float32Array(64), t: 5 });
  return { engine, metrics, log, call };
}

const failing = () =>
  fakeModel({
    before: () => {
      throw new Error("gone");
    },
  });

Deno.test("ready after the first evaluation that works; a warm-up that failed is tried again", async () => {
  let broken = true;
  const { engine } = make(fakeModel({
    before: () => {
      if (broken) throw new Error("no memory");
    },
  }));
  assertEquals(engine.ready, false);
  await assertRejects(() => engine.warmUp(), Problem);
  assertEquals(engine.ready, false, "an evaluation that failed makes nobody ready");
  broken = false;
  await engine.warmUp();
  assertEquals(engine.ready, true);
});

Deno.test("a warm-up is one evaluation however often it is asked for, of a class where there are any", async () => {
  for (const labels of [undefined, ["a", "b"]]) {
    const model = fakeModel({ labels });
    const asked: unknown[] = [];
    const { predict } = model;
    model.predict = (x, t, classes) => {
      asked.push([[...t], classes && [...classes]]);
      return predict(x, t, classes);
    };
    const { engine } = make(model);
    await Promise.all([engine.warmUp(), engine.warmUp()]);
    await engine.warmUp();
    assertEquals(asked, [[[0], labels && [0]]]);
  }
});

Deno.test("evaluations are counted from the start, timed in seconds, and their speed is images a second", async () => {
  const { engine, metrics, call } = make(fakeModel({ latency: 20 }));
  for (const counter of [metrics.evaluations, metrics.images, metrics.retried, metrics.reopened]) {
    assertEquals([...counter.lines()], [`${counter.name}{weights="w"} 0`]);
  }
  assertEquals(engine.perSecond, 0);
  await Promise.all([call(), call(), call()]);
  assertEquals(metrics.evaluations.value({ weights: "w" }), 1);
  const sum = (lines: Iterable<string>) =>
    Number([...lines].find((line) => line.includes("_sum"))!.split(" ")[1]);
  assertEquals(sum(metrics.batch.lines()), 3);
  const seconds = sum(metrics.stepSeconds.lines());
  assert(seconds >= 0.019 && seconds < 15, `${seconds} s`);
  assert(Math.abs(engine.perSecond * seconds - 3) < 1e-6, `${engine.perSecond} a second`);
  const first = engine.perSecond;
  await call();
  // The newest counts for a tenth.
  const newest = 1 / (sum(metrics.stepSeconds.lines()) - seconds);
  const expected = 0.9 * first + 0.1 * newest;
  assert(Math.abs(engine.perSecond / expected - 1) < 1e-6, `${engine.perSecond}, not ${expected}`);
});

Deno.test("an evaluation that a clock cannot time counts as a hundredth of a millisecond", async () => {
  const { now } = performance;
  performance.now = () => 1;
  try {
    const { engine, call } = make(fakeModel());
    await call();
    assertEquals(engine.perSecond, 100_000);
  } finally {
    performance.now = now;
  }
});

Deno.test("what is asked is a network like the weights' own", () => {
  const model = fakeModel({ labels: ["a"], nullLabel: 1 });
  const { engine } = make(model);
  const { predict: _, vjp, ...facts } = engine.batcher.network;
  const { shape, outChannels, scheduler, labels, nullLabel, recommended } = model;
  assertEquals(facts, { shape, outChannels, scheduler, labels, nullLabel, recommended });
  assertEquals(vjp, undefined);
});

Deno.test("an evaluation that fails is asked once more; what fails twice is opened again, and the old one closed", async () => {
  const { model: old, closed } = closing({
    before: (evaluation) => {
      if (evaluation > 1) throw new Error("gone");
    },
  });
  const next = fakeModel();
  let opened = 0;
  const reopen = () => (opened++, Promise.resolve(next));
  const { engine, metrics, log, call } = make(old, { reopen });
  const answer = await call();
  assertEquals(await call(), answer);
  assertEquals([old.evaluations, next.evaluations, opened, closed.times], [3, 1, 1, 1]);
  assertEquals([engine.model === next, engine.ready], [true, true]);
  assertEquals(metrics.retried.value({ weights: "w" }), 1);
  assertEquals(metrics.reopened.value({ weights: "w" }), 1);
  assertEquals(log, ["error an evaluation failed of w: Error: gone"]);
});

Deno.test("an engine that hangs is not asked again, and is not ready", async () => {
  let hangs = false;
  const never = new Promise<void>(() => {});
  const hanging = fakeModel({ before: () => hangs ? never : undefined });
  const { engine, metrics, call } = make(hanging, { hangMs: 20 });
  await call();
  hangs = true;
  const error = await assertRejects(call, Problem);
  assertEquals((error.cause as Error).message, "no answer from the engine within 0.02 s");
  assertEquals([hanging.evaluations, engine.ready], [2, false]);
  assertEquals(metrics.retried.value({ weights: "w" }), 0);
  hangs = false;
  await call();
  assertEquals(engine.ready, true, "it came back");
});

Deno.test("weights that cannot be opened again are tried once a request, and told by no word", async () => {
  const secret = new Error("/secret/weights: not there");
  let opened = 0, works = false;
  const next = fakeModel();
  const reopen = () => (opened++, works ? Promise.resolve(next) : Promise.reject(secret));
  const { engine, metrics, call } = make(failing(), { reopen });
  for (const times of [1, 2, 3]) {
    const error = await assertRejects(call, Problem);
    assertEquals([error.status, error.reason, error.cause], [500, "network", secret]);
    const told = "the network failed while it denoised; the same request may be sent again";
    assertEquals(error.message, told);
    assertEquals([opened, engine.ready], [times, false]);
  }
  assertEquals(metrics.reopened.value({ weights: "w" }), 0);
  works = true;
  await call();
  assertEquals([opened, next.evaluations, engine.ready], [4, 1, true]);
  await call();
  assertEquals(opened, 4, "what is whole again is not opened");
});

Deno.test("other weights than those that broke are closed again and never asked", async () => {
  const { model: other, closed } = closing({ hash: "f".repeat(64) });
  const { engine, metrics, call } = make(failing(), { reopen: () => Promise.resolve(other) });
  const error = await assertRejects(call, Problem);
  const [hash, found] = [FAKE_HASH, "f".repeat(64)];
  assertEquals((error.cause as Error).message, `reopened "w" as ${found}; it was ${hash}`);
  assertEquals([other.evaluations, closed.times, engine.ready], [0, 1, false]);
  assertEquals(metrics.reopened.value({ weights: "w" }), 0);
});

Deno.test("weights that were opened again are ready once they have answered, and not before", async () => {
  let works = false, opened = 0;
  const next = () =>
    fakeModel({
      before: () => {
        if (!works) throw new Error("gone, too");
      },
    });
  const reopen = () => (opened++, Promise.resolve(next()));
  const { engine, metrics, call } = make(failing(), { reopen });
  const error = await assertRejects(call, Problem);
  assertEquals((error.cause as Error).message, "gone, too");
  assertEquals([opened, engine.ready], [1, false]);
  assertEquals(metrics.reopened.value({ weights: "w" }), 1);
  works = true;
  await call();
  assertEquals([opened, engine.ready], [1, true], "the next call is theirs");
});

Deno.test("gradients are asked of the network where it has them, and of no other", async () => {
  const x = new Float32Array(64), u = new Float32Array(64).fill(1);
  const vjp: NonNullable<ServedModel["vjp"]> = (x) => Promise.resolve(x.map(() => 7));
  const { engine } = make({ ...fakeModel(), vjp });
  assertEquals([...new Set(await engine.batcher.evaluate({ x, t: 1, u }))], [7]);
  assertEquals(make(fakeModel()).engine.batcher.network.vjp, undefined);
});

Deno.test("weights that cannot even be closed are let go of all the same", async () => {
  const close = () => Promise.reject(new Error("already gone"));
  const next = fakeModel();
  const whole = make({ ...failing(), close }, { reopen: () => Promise.resolve(next) });
  await whole.call();
  assertEquals([whole.engine.model === next, next.evaluations], [true, 1]);
  const other = { ...fakeModel({ hash: "f".repeat(64) }), close };
  const { call } = make(failing(), { reopen: () => Promise.resolve(other) });
  const error = await assertRejects(call, Problem);
  assert((error.cause as Error).message.startsWith('reopened "w" as ffff'));
  await new Promise((resolve) => setTimeout(resolve));
});
