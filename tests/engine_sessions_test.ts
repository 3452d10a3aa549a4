/** Sessions of the engine: feeds, batches in parts, memories and weights as they come. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Session } from "../src/backends/backend.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { openSimdSession } from "../src/backends/simd/session.ts";
import type { Crew } from "../src/engine/engine_session.ts";
import { batchDimension, sizesOf } from "../src/engine/feeds.ts";

import {
  hasRelaxedSimd,
  instantiate,
  kernelBytes,
  unshared,
} from "../src/engine/kernels_module.ts";
import { layOut } from "../src/engine/plan/arena.ts";
import type { Buffer } from "../src/engine/plan/view.ts";
import {
  add,
  concat,
  conv2d,
  Graph,
  linear,
  matmul,
  mul,
  neg,
  type Padding,
  reduceSum,
  reshape,
  scale,
  transpose,
  type Value,
} from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";

const module = new WebAssembly.Module(unshared(kernelBytes()));
const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };

Deno.test("engine graphs: an input that is an output is copied", async () => {
  const graph = new Graph();
  const x = graph.input("x", ["N"]);
  graph.output("same", x);
  graph.output("y", neg(x));
  const session = await simdInline({ module }).createSession(graph);
  const data = Float32Array.of(1, 2), dims = [2];
  const { same } = await session.run({ x: { data, dims } });
  assertEquals(same, { data: Float32Array.of(1, 2), dims: [2] });
  data.fill(7);
  dims[0] = 7;
  assertEquals(same, { data: Float32Array.of(1, 2), dims: [2] });
  await session.close();
});

Deno.test("engine graphs: a batch in parts has each output's own type", async () => {
  const graph = new Graph();
  const types = ["float32", "int32", "int64", "uint8"] as const;
  for (const type of types) graph.output(`${type}_out`, graph.input(type, ["N", 2], type));
  const session = await simdInline({ module }).createSession(graph);
  const numbers = Array.from({ length: 70 }, (_, i) => i);
  const feeds = {
    float32: { data: Float32Array.from(numbers), dims: [35, 2] },
    int32: { data: Int32Array.from(numbers), dims: [35, 2] },
    int64: { data: BigInt64Array.from(numbers, BigInt), dims: [35, 2] },
    uint8: { data: Uint8Array.from(numbers), dims: [35, 2] },
  };
  const results = await session.run(feeds);
  for (const type of types) assertEquals(results[`${type}_out`], feeds[type]);
  await session.close();
});

Deno.test("engine graphs: a batch in parts has the dimensions of the whole", async () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 3]);
  graph.output("y", scale(x, 2));
  graph.output("r", reshape(x, ["N", 3, 1]));
  const session = await simdInline({ module }).createSession(graph);
  for (const n of [1, 0, 16, 17, 32, 33]) {
    const data = ramp(3 * n);
    const { y, r } = await session.run({ x: { data, dims: [n, 3] } });
    assertEquals([y.dims, r.dims], [[n, 3], [n, 3, 1]]);
    assertEquals([y.data, r.data], [data.map((v) => 2 * v), data]);
  }
  await session.close();
});

Deno.test("engine graphs: a batch is computed in parts where pictures do not meet, and nowhere else", () => {
  const of = (make: (graph: Graph, x: Value) => Value, shape: (string | number)[] = ["N", 4]) => {
    const graph = new Graph();
    graph.output("y", make(graph, graph.input("x", shape)));
    return batchDimension(graph);
  };
  assertEquals(of((_, x) => neg(x)), "N");
  assertEquals(of((graph, x) => linear(x, graph.param("w", [3, 4]))), "N");
  assertEquals(of((_, x) => concat([x, x], 1)), "N");
  assertEquals(of((graph, x) => add(x, graph.input("z", [4]))), undefined);
  assertEquals(of((_, x) => matmul(x, x, { transposeB: true })), undefined);
  assertEquals(of((_, x) => reduceSum(x, [0])), undefined);
  assertEquals(of((_, x) => transpose(x, [1, 0])), undefined);
  // Pictures that meet on the way.
  assertEquals(of((_, x) => add(x, reduceSum(x, [0]))), undefined);
  assertEquals(of((_, x) => matmul(x, matmul(transpose(x, [1, 0]), x))), undefined);
  assertEquals(of((_, x) => matmul(matmul(x, x, { transposeB: true }), x)), undefined);
  assertEquals(of((graph, x) => add(x, neg(graph.param("b", [4])))), "N");
  const apart = (graph: Graph, x: Value) => {
    graph.output("z", neg(graph.input("z", ["M", 4])));
    return neg(x);
  };
  assertEquals(of(apart), undefined);
  assertEquals(of((_, x) => neg(x), [3, 4]), undefined);
  assertEquals(of((_, x) => neg(x), [3, "N"]), undefined);
  assertEquals(of((_, x) => neg(x), ["N", "M"]), undefined);
});

Deno.test("engine graphs: weights and results keep their places when a shared memory is exchanged", async () => {
  const shared = new WebAssembly.Module(kernelBytes());
  const lives = { opened: 0, closed: 0 };
  const order: string[] = [];
  const crew: Crew = {
    threads: 1,
    shared: true,
    open(memory) {
      lives.opened++;
      const kernels = instantiate(shared, memory);
      return Promise.resolve({
        run(at) {
          order.push("run");
          kernels.run(at, 0, 1, Atomics.load(new Int32Array(memory.buffer), 17));
          return Promise.resolve();
        },
        settle: () => Promise.resolve(void order.push("settle")),
        close: () => void lives.closed++,
      });
    },
  };
  const graph = new Graph();
  const x = graph.input("x", ["N", 4]);
  const [w, last] = [graph.param("w", [4]), graph.param("last", [4])];
  const scaled = add(mul(matmul(matmul(x, x, { transposeB: true }), x), w), last);
  graph.output("y", linear(scaled, graph.param("packed", [4, 4])));
  const weights = new Map([["w", ramp(4, 1)], ["last", ramp(4, 2)], ["packed", ramp(16)]]);
  const session = await openSimdSession(graph, weights, crew, { arenaBytes: 1 << 16 });
  const alone = await simdInline({ module }).createSession(graph, weights);
  // Commands are written over when no thread reads them any more, and only when others are wanted.
  assertEquals(order.splice(0), ["settle", "run"]);
  for (const n of [2, 400, 2, 700, 400]) {
    const feed = { x: { data: ramp(4 * n), dims: [n, 4] } };
    assertEquals(await session.run(feed), await alone.run(feed), `${n}`);
  }
  assertEquals(order.splice(0), Array(5).fill(["settle", "run"]).flat());
  const again = { x: { data: ramp(4 * 400), dims: [400, 4] } };
  for (let i = 0; i < 2; i++) await session.run(again);
  assertEquals(order, ["run", "run"], "the last batch was of that size: its commands are there");
  assertEquals(lives, { opened: 3, closed: 2 });
  await Promise.all([session.close(), session.close(), alone.close()]);
  assertEquals(lives, { opened: 3, closed: 3 });
});

Deno.test("engine graphs: compact weights take less memory, a small arena fewer pictures at once", async () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 64, 8, 8]);
  graph.output("y", conv2d(x, graph.param("w", [64, 64, 3, 3]), undefined, around));
  const halves = Float32Array.from(ramp(64 * 64 * 9), (v) => Math.f16round(v));
  const weights = new Map([["w", halves]]);
  const opened = async (options: Parameters<typeof simdInline>[0]) => {
    const engine = simdInline({ module, ...options });
    const n = 4;
    const figures = async (session: Session) => {
      const { y } = await session.run({ x: { data: ramp(n * 64 * 64), dims: [n, 64, 8, 8] } });
      const { base, batch } =
        (session as unknown as { engine: { base: number; batch: { most: number } } }).engine;
      await session.close();
      return { weights: base, most: batch.most, y };
    };
    const found = await figures(await engine.createSession(graph, weights));
    const pieces = {
      isHalf: () => true,
      async *tensors() {
        yield* weights;
      },
    };
    const streamed = await figures(await engine.createStreamedSession(graph, pieces));
    assertEquals(streamed, found, "weights that come in pieces are kept the same way");
    return found;
  };
  const plain = await opened({});
  const bytes = 64 * 64 * 9;
  assert(plain.weights > 4 * bytes * 4 - 1000, `${plain.weights}`);
  for (const compact of [true, 1, plain.weights - 2000]) {
    const small = await opened({ compact });
    assert(small.weights < 2 * bytes + 4096, `${small.weights}`);
    assertEquals(small.y, plain.y);
  }
  for (const compact of [false, undefined, 0, plain.weights]) {
    assertEquals((await opened({ compact })).weights, plain.weights);
  }
  assertEquals(plain.most, 16);
  const little = await opened({ arenaBytes: 1 });
  assertEquals([little.most, little.y], [1, plain.y]);
});

Deno.test("engine graphs: feeds are of the input's type and shape, each name one size", () => {
  const graph = new Graph();
  graph.input("x", ["N", 3]);
  graph.input("i", ["N"], "int32");
  const x = { data: new Float32Array(6), dims: [2, 3] };
  const i = { data: new Int32Array(2), dims: [2] };
  assertEquals([...sizesOf(graph, { x, i })], [["N", 2]]);
  const expected = 'input "x" is ';
  const wrong: [Parameters<typeof sizesOf>[1], string][] = [
    [{ x: { ...x, data: new Int32Array(6) }, i }, `${expected}Int32Array, expected float32`],
    [{ x, i: { ...i, data: new BigInt64Array(2) } }, 'input "i" is BigInt64Array, expected int32'],
    [{ x: { ...x, dims: [6] }, i }, `${expected}of shape [6], expected float32 of shape [N, 3]`],
    [{ x: { ...x, dims: [3, 2] }, i }, `${expected}of shape [3, 2], expected`],
    [{ x, i: { ...i, dims: [3] } }, 'input "i" is of shape [3], expected int32 of shape [N]'],
  ];
  for (const [feeds, says] of wrong) assertThrows(() => sizesOf(graph, feeds), Error, says);
});

Deno.test("engine graphs: of streamed weights each is taken once, none may be missing, constants are not asked for", async () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 16]);
  const conv = (name: string) => linear(x, graph.param(name, [8, 16]));
  graph.output("y", add(add(conv("a"), conv("b")), graph.constant(ramp(8, 9), [8])));
  graph.output("z", linear(x, graph.constant(ramp(64, 4), [4, 16])));
  const numbers = new Map(["a", "b", "other"].map((name, i) => [name, ramp(128, i + 1)]));
  const weights = (...names: string[]) => ({
    isHalf(name: string) {
      assert(numbers.has(name), `${name} is no parameter`);
      return false;
    },
    async *tensors() {
      for (const name of names) {
        await Promise.resolve();
        yield [name, numbers.get(name)!] as const;
      }
    },
  });
  for (const compact of [false, true]) {
    const backend = simdInline({ module, compact });
    const open = (...names: string[]) => backend.createStreamedSession(graph, weights(...names));
    const whole = await backend.createSession(graph, numbers);
    const feed = { x: { data: ramp(32), dims: [2, 16] } };
    const expected = await whole.run(feed);
    for (const names of [["a", "b"], ["b", "other", "a"], ["a", "b", "a"]]) {
      const session = await open(...names);
      assertEquals(await session.run(feed), expected);
      await session.close();
    }
    await assertRejects(() => open("a", "other"), Error, 'simd: no weights for parameter "b"');
    await whole.close();
  }
});

Deno.test("engine graphs: what needs more memory than WebAssembly has is refused with how much it needs", async () => {
  for (const [side, needs] of [[24_000, "4.3"], [40_000, "11.9"]]) {
    const graph = new Graph();
    graph.output("y", neg(graph.input("x", [Number(side), Number(side)])));
    const open = () => simdInline({ module }).createSession(graph);
    await assertRejects(open, Error, `the network needs ${needs} GiB, WebAssembly has 4`);
  }
});

Deno.test("buffers lie apart where they are in use at the same time, and share places where not", () => {
  const buffer = (bytes: number, first: number, last: number): Buffer => ({
    bytes,
    kind: "arena",
    address: 0,
    first,
    last,
  });
  const check = (buffers: Buffer[], most: number, base = 0) => {
    const bytes = layOut(buffers, base);
    for (const [i, a] of buffers.entries()) {
      assert(a.address >= base && a.address % 64 === 0 && a.address + a.bytes <= base + bytes);
      for (const b of buffers.slice(i + 1)) {
        const together = a.first <= b.last && b.first <= a.last;
        const apart = a.address + a.bytes <= b.address || b.address + b.bytes <= a.address;
        assert(!together || apart, JSON.stringify([a, b]));
      }
    }
    assert(bytes <= most, `${bytes} bytes`);
  };
  check([], 0);
  check([buffer(100, 0, 1), buffer(100, 1, 2)], 256);
  check([buffer(100, 0, 1), buffer(100, 2, 3)], 128);
  check([buffer(128, 0, 9), buffer(64, 0, 3), buffer(64, 4, 9)], 192, 640);
  // The one in the middle leaves a place of just its size.
  check([buffer(192, 0, 9), buffer(128, 0, 2), buffer(64, 0, 9), buffer(128, 3, 9)], 384);
  const random = ramp(120, 5).map((v) => Math.abs(v));
  const many = Array.from({ length: 40 }, (_, i) => {
    const first = Math.floor(random[3 * i] * 30);
    const last = first + Math.floor(random[3 * i + 1] * 10);
    return buffer(1 + Math.floor(random[3 * i + 2] * 999), first, last);
  });
  check(many, many.reduce((sum, { bytes }) => sum + bytes, 0));
  assertThrows(() => check([buffer(64, 0, 1), buffer(64, 1, 2)], 64), Error, "128 bytes");
});

Deno.test("engine graphs: a shared memory has room for the largest batch from the start, and does not grow", async () => {
  const shared = new WebAssembly.Module(kernelBytes());
  const memories: WebAssembly.Memory[] = [];
  const crew: Crew = {
    threads: 1,
    shared: true,
    open(memory) {
      memories.push(memory);
      const kernels = instantiate(shared, memory);
      const phase = () => Atomics.load(new Int32Array(memory.buffer), 17);
      const run = (at: number) => Promise.resolve(kernels.run(at, 0, 1, phase()));
      return Promise.resolve({ run, settle: () => Promise.resolve(), close() {} });
    },
  };
  const graph = new Graph();
  const width = 65_536;
  graph.output("y", scale(graph.input("x", ["N", width]), 2));
  // A picture's two results are 512 KiB: three of them have room.
  const session = await openSimdSession(graph, undefined, crew, { arenaBytes: 3.5 * 2 ** 19 });
  for (const n of [1, 3, 7]) {
    const data = ramp(n * width);
    const { y } = await session.run({ x: { data, dims: [n, width] } });
    assertEquals(y.data, data.map((v) => 2 * v));
  }
  assertEquals(memories.length, 1);
  const [{ buffer }] = memories;
  const most = 3 * 2 ** 19 + 2 ** 19;
  assert(buffer.byteLength < most, `${buffer.byteLength} bytes`);
  assertThrows(() => memories[0].grow(1), RangeError);
  await session.close();
});

Deno.test("engine graphs: weights larger than all that a picture takes have room to be packed", async () => {
  const graph = new Graph();
  const x = graph.input("x", [1, 192, 3, 3]);
  const weights = new Map(["a", "b"].map((name, i) => [name, ramp(192 * 192 * 9, i + 1)]));
  const layer = (of: Value, name: string) =>
    conv2d(of, graph.param(name, [192, 192, 3, 3]), undefined, around);
  graph.output("y", scale(layer(layer(x, "a"), "b"), 1e-3));
  const feed = { x: { data: ramp(192 * 9), dims: [1, 192, 3, 3] } };
  const found = [];
  for (const compact of [false, true]) {
    const session = await simdInline({ module, compact }).createSession(graph, weights);
    found.push((await session.run(feed)).y.data);
    await session.close();
  }
  assertEquals(found[1], found[0]);
});

Deno.test("engine graphs: memory that is not given is told with its size, and why", async () => {
  const { Memory } = WebAssembly;
  const graph = (size: number) => {
    const made = new Graph();
    made.output("y", neg(made.input("x", ["N", size])));
    return made;
  };
  const none = new RangeError("could not allocate memory");
  WebAssembly.Memory = class {
    constructor() {
      throw none;
    }
  } as unknown as typeof Memory;
  try {
    // What is read and what is made, and 256 KiB behind them; the last takes every page that there is.
    for (const [size, needs] of [[4, 1], [1 << 20, 9], [536_832_512, 4096]]) {
      const open = () => simdInline({ module }).createSession(graph(size));
      const error = await assertRejects(open, Error) as Error;
      assertEquals([error.message, error.cause], [`no memory of ${needs} MiB was given`, none]);
    }
  } finally {
    WebAssembly.Memory = Memory;
  }
});

Deno.test("kernels are those that this runtime has; for a memory of one thread they are told so", () => {
  const relaxed = kernelBytes("relaxed"), plain = kernelBytes("plain");
  assertEquals(hasRelaxedSimd(), WebAssembly.validate(relaxed), "found out by a few bytes");
  assertEquals(kernelBytes(), hasRelaxedSimd() ? relaxed : plain);
  const { validate } = WebAssembly;
  for (const [has, expected] of [[true, relaxed], [false, plain]] as const) {
    WebAssembly.validate = () => has;
    try {
      assertEquals([hasRelaxedSimd(), kernelBytes()], [has, expected]);
    } finally {
      WebAssembly.validate = validate;
    }
  }
  const before = plain.slice();
  const own = unshared(plain);
  assertEquals(plain, before, "in a copy");
  const differing = [...own].flatMap((byte, i) => byte === plain[i] ? [] : [plain[i] - byte]);
  assertEquals(differing, [2]);
  assertEquals(unshared(own), own);
  assertThrows(() => unshared(Uint8Array.of(0, 97, 115, 109)), Error, "import no memory");
});
