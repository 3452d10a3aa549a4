/** What the engine keeps of weights: each in the form that a kernel reads, where, and how it gets there. */
import { assert, assertEquals } from "@std/assert";
import { ABORTED, PHASE, placeWeights, SYNC_WORDS } from "../src/engine/layout.ts";
import { type NumberSource, packWeights, stagingFor } from "../src/engine/pack.ts";
import { opcodes } from "../src/engine/plan/step.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import { Graph, type Value } from "../src/graph/mod.ts";
import { command, kernelText } from "./engine_commands.ts";

/** A parameter of a shape. */
const param = (...shape: number[]) => new Graph().param("w", shape);

Deno.test("engine weights: a weight is kept once in each form that is asked for, in as many bytes as that takes", () => {
  const value = param(10, 16, 3, 3);
  const bytesOf = (ask: (store: WeightStore) => unknown, half?: boolean) => {
    const store = new WeightStore(half === undefined ? undefined : () => half);
    ask(store);
    ask(store);
    assertEquals(store.buffers.length, 2, "it, and zeros");
    return store.bytes - store.zeros.bytes;
  };
  // Channels go in panels of eight.
  assertEquals(bytesOf((store) => store.conv(value)), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.conv(value), false), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.conv(value), true), 2 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4)), 4 * 16 * 16 * 36);
  assertEquals(bytesOf((store) => store.winograd(value, 2, 4)), 4 * 16 * 16 * 16);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4), false), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4), true), 2 * 16 * 16 * 9);
  assertEquals([0, 1, 4, 5].map((n) => bytesOf((store) => store.raw(param(n)))), [16, 16, 16, 32]);
  const both = new WeightStore();
  both.conv(value);
  both.winograd(value, 2, 4);
  both.winograd(value, 4, 4);
  both.raw(value);
  assertEquals(both.buffers.length, 5);
  const compact = [undefined, false, true].map((half) =>
    new WeightStore(half === undefined ? undefined : () => half).winograd(value, 2, 4).compact
  );
  assertEquals(compact, [0, 1, 2]);
  const zeros = new WeightStore();
  const sizes = [16, 17, 4, 40].map((channels) => {
    zeros.zeroPixel(channels);
    return zeros.zeros.bytes;
  });
  assertEquals(sizes, [64, 80, 80, 160], "as the widest pixel has, and never less");
});

Deno.test("engine weights: they lie behind the kernels' own words", () => {
  const store = new WeightStore();
  store.raw(param(5));
  store.conv(param(3, 7));
  store.zeroPixel(20);
  const base = placeWeights(store);
  const places = store.buffers.map(({ address, bytes }) => [address, bytes]);
  assertEquals([places, base], [[[1024, 32], [1088, 224], [1344, 80]], 1472]);
});

Deno.test("engine weights: host and kernels mean the same words and the same operations", async () => {
  const sync = await kernelText("sync");
  const word = (name: string) =>
    Number(new RegExp(`const ${name}: usize = (\\d+);`).exec(sync)![1]);
  // Each has a cache line; the phase is the upper half of NEXT.
  assertEquals([SYNC_WORDS.from, PHASE, ABORTED], [
    word("NEXT"),
    word("NEXT") + 4,
    word("ABORTED"),
  ]);
  assertEquals(SYNC_WORDS.to, Math.max(...["DONE", "SLEEPERS", "ABORTED"].map(word)) + 64);
  const cases = (await kernelText("engine")).matchAll(/case (\d+): return (\w+)\(at\);/g);
  const known = [...cases].map(([, number, name]) => [name, Number(number)]);
  assertEquals(Object.entries(opcodes), known);
});

Deno.test("engine weights: a weight is packed by a command in its kernel's words", async () => {
  const value = param(10, 12, 3, 3);
  const packed = async (ask: (store: WeightStore) => unknown, half?: boolean) => {
    const store = new WeightStore(half === undefined ? undefined : () => half);
    ask(store);
    const from = placeWeights(store);
    const to = from + stagingFor(store);
    // Commands, each thread's own numbers, and 1,080 numbers of four bytes in whole cache lines.
    assertEquals(to, from + 64 * 1024 + 16 * 640 + 4352);
    const memory = new WebAssembly.Memory({ initial: Math.ceil(to / 65536) });
    const told: string[] = [];
    const run = (at: number) => {
      const words = [...new Int32Array(memory.buffer, at, 16)];
      const [op] = Object.entries(opcodes).find(([, number]) => number === words[0])!;
      assertEquals(words[words[1]], 0, "the last");
      const places: Record<number, string> = {
        [store.buffers[0].address]: "kept",
        [from + 64 * 1024]: "own",
        [from + 64 * 1024 + 16 * 640]: "staged",
      };
      told.push(command(op, words.slice(2, words[1]).map((word) => places[word] ?? `${word}`)));
      return Promise.resolve();
    };
    const source: NumberSource = {
      fitsHalf: () => half!,
      async *each() {
        yield [value, await Promise.resolve(new Float32Array(1080))];
      },
    };
    await packWeights(store, source, memory, { from, to }, {
      run,
      settle: () => Promise.resolve(),
    });
    return told.join();
  };
  const conv = "packConv, x staged, y kept, outChannels 10, channels 12, padded 12, taps 9";
  assertEquals(await packed((store) => store.conv(value)), conv);
  assertEquals(await packed((store) => store.conv(value), true), `${conv}, half 1`);
  for (const m of [2, 4] as const) {
    assertEquals(
      await packed((store) => store.winograd(value, m, 3)),
      "packWinograd, x staged, y kept, outChannels 10, channels 12, padded 12, " +
        `m ${m}, range 3, scratch own, scratchBytes 640`,
    );
  }
  const kernels = "packKernels, x staged, y kept, outChannels 10, channels 12";
  const own = "scratch own, scratchBytes 640";
  assertEquals(await packed((store) => store.winograd(value, 4, 4), false), `${kernels}, ${own}`);
  assertEquals(
    await packed((store) => store.winograd(value, 2, 4), true),
    `${kernels}, half 1, ${own}`,
  );
});

Deno.test("engine weights: weights are packed as many at a time as there is room for, each where it is kept", async () => {
  const kinds = [
    (store: WeightStore, value: Value) => store.conv(value).place.buffer,
    (store: WeightStore, value: Value) => store.winograd(value, 4, 4).place.buffer,
  ];
  const lengths: Record<number, number> = {
    [opcodes.packConv]: 9,
    [opcodes.packWinograd]: 11,
    [opcodes.packKernels]: 9,
  };
  const pack = async (count: number, room: number, half?: boolean) => {
    const graph = new Graph();
    const store = new WeightStore(half === undefined ? undefined : () => half);
    const wanted = Array.from({ length: count }, (_, i) => {
      return kinds[i % 2](store, graph.param(`w${i}`, [8, 4, 3, 3]));
    });
    const from = placeWeights(store);
    const to = from + stagingFor(store) + room;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(to / 65536) });
    const log: string[] = [], given: number[] = [];
    let begin = 0;
    const packer = {
      settle: () => Promise.resolve(void log.push("settle")),
      run: (at: number) => {
        log.push("run");
        assertEquals(at, from);
        const words = new Int32Array(memory.buffer);
        let i = at / 4;
        for (let first = true; words[i] !== 0; i += words[i + 1], first = false) {
          const [op, length, staged, address] = words.subarray(i, i + 4);
          assertEquals(length, lengths[op]);
          const number = new Float32Array(memory.buffer)[staged / 4];
          assertEquals(wanted[number - 1].address, address, `weight ${number}`);
          given.push(number);
          if (first) begin ||= staged;
          if (first) assertEquals(staged, begin, "the place is used again");
          assert(staged + 4 * 8 * 4 * 9 <= to);
        }
        assert(4 * (i + 1) - at <= 64 * 1024, "commands have 64 KiB");
        return Promise.resolve();
      },
    };
    const source: NumberSource = {
      fitsHalf: () => half!,
      async *each(values) {
        for (const value of values) {
          yield [value, await Promise.resolve(new Float32Array(288).fill(value.id + 1))];
        }
      },
    };
    await packWeights(store, source, memory, { from, to }, packer);
    assertEquals(given, Array.from({ length: count }, (_, i) => i + 1));
    const runs = log.length / 2;
    assertEquals(log, Array(runs).fill(["settle", "run"]).flat());
    return runs;
  };
  assertEquals(await pack(0, 0), 0);
  assertEquals(await pack(3, 0), 3, "room for one");
  assertEquals(await pack(5, 1152), 3, "for two");
  assertEquals(await pack(40, 1 << 20), 1);
  for (const half of [false, true]) assertEquals(await pack(40, 1 << 20, half), 1);
  // Commands of 10 words on average, as long as 16 more fit into 16,384.
  assertEquals([await pack(1637, 4 << 20), await pack(1638, 4 << 20)], [1, 2]);
});
