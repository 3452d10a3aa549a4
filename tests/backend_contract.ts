/** What every Backend does, whichever engine is behind it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Backend, OnnxBackend, Session, Tensors } from "../src/backends/backend.ts";
import { emit, portable } from "../src/onnx/mod.ts";
import {
  type Built,
  convolutions,
  doubling,
  identities,
  lookup,
  powers,
  ramp,
} from "./backend_models.ts";

const rows = (...data: number[]): Tensors => ({
  x: { data: new Float32Array(data), dims: [data.length / 3, 3] },
});

/** Defines the suite's tests for one backend. */
export function testBackend(title: string, open: () => Promise<Backend>): void {
  const test = (behaviour: string, body: (backend: Backend) => Promise<void>) =>
    Deno.test(`${title}: ${behaviour}`, async () => await body(await open()));

  test("maps named tensors to named tensors, with their shapes", async (backend) => {
    await using session = await opened(backend, doubling());
    assertEquals(session.inputNames, ["x"]);
    assertEquals(session.outputNames, ["y"]);
    const { y } = await session.run(rows(1, 2, 3));
    assertEquals(y, { data: new Float32Array([2, 4, 6]), dims: [1, 3] });
  });

  test("takes any batch", async (backend) => {
    await using session = await opened(backend, doubling());
    for (const n of [1, 3, 2, 16]) {
      const { y } = await session.run(rows(...ramp(3 * n)));
      assertEquals(y.dims, [n, 3]);
      assertEquals(y.data, ramp(3 * n).map((x) => 2 * x));
    }
  });

  test("carries float32, int32, int64 and uint8", async (backend) => {
    await using session = await opened(backend, identities());
    const feeds: Tensors = {
      float32: { data: new Float32Array([-1.5, Math.fround(1e-30), 3]), dims: [3] },
      int32: { data: new Int32Array([-(2 ** 31), 0, 2 ** 31 - 1]), dims: [3] },
      int64: { data: new BigInt64Array([-(2n ** 63n), 0n, 2n ** 63n - 1n]), dims: [3] },
      uint8: { data: new Uint8Array([0, 128, 255]), dims: [3] },
    };
    const results = await session.run(feeds);
    for (const [name, fed] of Object.entries(feeds)) assertEquals(results[`${name}_out`], fed);
  });

  test("reads int32 indices", async (backend) => {
    await using session = await opened(backend, lookup());
    const indices = { data: new Int32Array([2, 0]), dims: [2] };
    const { rows } = await session.run({ indices });
    assertEquals(rows, { data: new Float32Array([2, 2.5, 0, 0.5]), dims: [2, 2] });
  });

  test("leaves the fed arrays as they were, views into larger ones included", async (backend) => {
    await using session = await opened(backend, doubling());
    const whole = ramp(12);
    const feeds = { x: { data: whole.subarray(3, 9), dims: [2, 3] } };
    const { y } = await session.run(feeds);
    assertEquals(y.data, ramp(12).subarray(3, 9).map((x) => 2 * x));
    assertEquals(whole, ramp(12));
  });

  test("gives results that later runs do not change", async (backend) => {
    await using session = await opened(backend, doubling());
    const { y } = await session.run(rows(1, 2, 3));
    await session.run(rows(7, 8, 9));
    assertEquals(y.data, new Float32Array([2, 4, 6]));
  });

  test("queues overlapping runs, of two sessions too", async (backend) => {
    await using a = await opened(backend, doubling());
    await using b = await opened(backend, doubling());
    const runs = Array.from({ length: 12 }, (_, i) => (i % 2 ? a : b).run(rows(i, i, i)));
    const results = await Promise.all(runs);
    assertEquals(results.map(({ y }) => y.data[0]), runs.map((_, i) => 2 * i));
  });

  test("lets a running run end at close, rejects the waiting ones and later ones", async (backend) => {
    const { graph, weights } = powers(64, 40);
    const session = await backend.createSession(graph, weights);
    const x = { data: ramp(64 * 64).map((v) => v / 8), dims: [64, 64] };
    const runs = [session.run({ x }), session.run({ x }), session.run({ x })];
    const settled = Promise.allSettled(runs);
    await session.close();
    assertEquals((await settled).map((run) => run.status), ["fulfilled", "rejected", "rejected"]);
    await assertRejects(() => session.run({ x }), Error, "the session is closed");
    await session.close();
  });

  test("refuses feeds that do not fit and goes on working", async (backend) => {
    await using session = await opened(backend, doubling());
    await assertRejects(() => session.run({}), Error, "expected the inputs x, found none");
    const short = { x: { data: new Float32Array(2), dims: [1, 3] } };
    await assertRejects(() => session.run(short), Error, "has 2 elements, its shape [1,3] needs 3");
    const wide = { x: { data: new Float32Array(4), dims: [1, 4] } };
    await assertRejects(() => session.run(wide), Error, "the run failed: ");
    const wrongType = { x: { data: new Int32Array(3), dims: [1, 3] } };
    await assertRejects(() => session.run(wrongType), Error, "the run failed: ");
    assertEquals((await session.run(rows(1, 1, 1))).y.data[0], 2);
  });

  test("computes a picture the same bit for bit in any batch", async (backend) => {
    const [channels, size, most] = [48, 16, 16];
    await using session = await opened(
      backend,
      convolutions(channels, size),
    );
    const one = channels * size * size;
    const pictures = ramp(most * one);
    const run = (n: number) =>
      session.run({ x: { data: pictures.slice(0, n * one), dims: [n, channels, size, size] } });
    const all = await run(most);
    for (const n of [1, 2, 3]) {
      const some = await run(n);
      for (const name of session.outputNames) {
        const data = some[name].data as Float32Array;
        const differing = data.findIndex((v, i) => v !== all[name].data[i]);
        assertEquals(differing, -1, `${name} of ${n} pictures differs at ${differing}`);
      }
    }
  });
}

/** What every backend that takes ONNX does besides. */
export function testOnnxBackend(title: string, open: () => Promise<OnnxBackend>): void {
  testBackend(title, open);
  Deno.test(`${title}: runs ONNX models`, async () => {
    const { graph } = doubling();
    const model = emit(graph, { lowering: portable });
    const session = await (await open()).createOnnxSession(model);
    assertEquals((await session.run(rows(1, 2, 3))).y.data, new Float32Array([2, 4, 6]));
    await session.close();
  });

  Deno.test(`${title}: refuses a broken model with its size and the engine's reason`, async () => {
    const backend = await open();
    const broken = emit(doubling().graph, { lowering: portable }).subarray(0, 40);
    const error = await assertRejects(() => backend.createOnnxSession(broken), Error) as Error;
    assert(error.message.includes("cannot load the model (40 bytes): "), error.message);
    await using session = await opened(backend, doubling());
    assertEquals((await session.run(rows(1, 1, 1))).y.data[0], 2);
  });
}

async function opened(
  backend: Backend,
  { graph, weights }: Built,
): Promise<Session & AsyncDisposable> {
  const session = await backend.createSession(graph, weights);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (feeds) => session.run(feeds),
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
  };
}
