import { assert, assertEquals, assertThrows } from "@std/assert";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { neverGrowSharedMemory } from "../src/backends/onnxruntime/preallocate_shared_memory.ts";
import { createGenerator, linearBetas, makeSchedule } from "../src/diffusion/mod.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";
import { initialTheta } from "../src/training/optimiser/init.ts";
import { initialState } from "../src/training/optimiser/layout.ts";
import { networkLayout, TrainStep } from "../src/training/objective/step.ts";

const PAGE = 65536;

/** What `make` gives while WebAssembly.Memory is `Memory`, wrapped. */
function wrapped<T>(Memory: typeof WebAssembly.Memory, make: () => T): T {
  const original = WebAssembly.Memory;
  WebAssembly.Memory = Memory;
  try {
    neverGrowSharedMemory();
    return make();
  } finally {
    WebAssembly.Memory = original;
  }
}

Deno.test("shared memory is committed whole; other memory is as asked for", () => {
  const descriptor = { initial: 1, maximum: 1000 };
  const [shared, own] = wrapped(WebAssembly.Memory, () => [
    new WebAssembly.Memory({ ...descriptor, shared: true }),
    new WebAssembly.Memory(descriptor),
  ]);
  assert(shared instanceof WebAssembly.Memory);
  assertEquals(shared.buffer.byteLength, 999 * PAGE);
  assertEquals(own.buffer.byteLength, PAGE);
});

Deno.test("where the whole is refused, the largest half of a half that is given is taken", () => {
  class Scarce extends WebAssembly.Memory {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      if (descriptor.initial > 300) throw new RangeError("could not allocate memory");
      super(descriptor);
    }
  }
  const memory = wrapped(
    Scarce,
    () => new WebAssembly.Memory({ initial: 1, maximum: 1001, shared: true }),
  );
  assertEquals(memory.buffer.byteLength, 250 * PAGE);
});

Deno.test("where not even a part is given it is as asked for; what is no refusal is not tried again", () => {
  const sizes: number[] = [];
  const refusing = (what: (initial: number) => Error | undefined) =>
    class extends WebAssembly.Memory {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        sizes.push(descriptor.initial);
        const error = what(descriptor.initial);
        if (error) throw error;
        super(descriptor);
      }
    };
  const asked = { initial: 3, maximum: 24, shared: true };
  const make = () => new WebAssembly.Memory(asked);
  const scarce = refusing((initial) => initial > 3 ? new RangeError("no") : undefined);
  assertEquals(wrapped(scarce, make).buffer.byteLength, 3 * PAGE);
  assertEquals(sizes.splice(0), [23, 11, 5, 3]);
  const whole = wrapped(WebAssembly.Memory, () => new WebAssembly.Memory({ ...asked, maximum: 3 }));
  assertEquals(whole.buffer.byteLength, 3 * PAGE);
  assertThrows(() => wrapped(refusing(() => new TypeError("wrong")), make), TypeError, "wrong");
  assertEquals(sizes, [23]);
});

// Without it, on a busy machine, most of these first steps never end.
Deno.test("wasm: the first training step on two threads ends", async () => {
  const { network } = await readFolder(filesAt(builtInWeights.digits));
  const backend = wasm({ threads: 2 });
  const batch = 2, size = 28 * 28;
  await using step = await TrainStep.create(backend, {
    network,
    schedule: makeSchedule(linearBetas(1000)),
    prediction: "epsilon",
    batch,
    maxGradNorm: 1,
    session: { threads: 2 },
  }, initialState(initialTheta(networkLayout(network), 0, network.architecture.initialiser)));
  const { randn } = createGenerator(0);
  const pictures = { x_0: randn(batch * size), eps: randn(batch * size) };
  const { loss } = await step.run(
    { ...pictures, t: new Float32Array([10, 900]), labels: new Int32Array([3, 7]) },
    { step: 1, lr: 1e-4, emaDecay: 0.9, seed: 0 },
  );
  assert(loss > 0);
  await backend.terminate();
});
