import { assert, assertEquals, assertRejects } from "@std/assert";
import { createGenerator, parseSchedulerConfig, type Scheduler } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { generate } from "../src/sampling/pictures.ts";
import { prepare, sample, type SampleFrame, type SampleOptions } from "../src/sampling/sample.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork, gate, settled } from "./sampling_network.ts";

type Request = Partial<SampleOptions>;

function start(network: ReturnType<typeof fakeNetwork>, request: Request = {}) {
  return sample(network, { seeds: [1, 2, 3], scheduler: schedulers.ddim, steps: 4, ...request });
}

async function finished(request: Request, facts = {}): Promise<SampleFrame[]> {
  const frames: SampleFrame[] = [];
  for await (const frame of start(fakeNetwork(facts), request)) {
    if (frame.done) frames[frame.index] = frame;
  }
  return frames;
}

for (const scheduler of Object.values(schedulers)) {
  Deno.test(`${scheduler.name}: a seed's picture is the same bits in any company`, async () => {
    const seeds = [0, 7, 42, 4294967295, 5];
    const request = { seeds, scheduler, steps: 5 };
    const alone = (await Promise.all(seeds.map((seed) => finished({ ...request, seeds: [seed] }))))
      .map(([frame]) => frame.x);
    for (const maxBatch of [1, 2, 3, 16]) {
      const together = await finished({ ...request, maxBatch });
      assertEquals(together.map(({ x }) => x), alone);
    }
    assert(alone[0].some((value, i) => value !== alone[1][i]));
  });
}

Deno.test("every step of every seed is a frame, in order, the last one done", async () => {
  const seen: Record<number, SampleFrame[]> = {};
  for await (const frame of start(fakeNetwork())) (seen[frame.seed] ??= []).push(frame);
  for (const [index, seed] of [1, 2, 3].entries()) {
    const frames = seen[seed];
    assertEquals(frames.map(({ step, steps, t, done }) => ({ step, steps, t, done })), [
      { step: 1, steps: 4, t: 750, done: false },
      { step: 2, steps: 4, t: 500, done: false },
      { step: 3, steps: 4, t: 250, done: false },
      { step: 4, steps: 4, t: 0, done: true },
    ]);
    assert(frames.every((frame) => frame.index === index && frame.label === undefined));
    assert(frames.every(({ x, x_0 }) => x.length === 16 && x_0.length === 16));
  }
});

Deno.test("a batch is filled again as soon as a picture is done", async () => {
  const network = fakeNetwork();
  await Array.fromAsync(start(network, { seeds: [1, 2, 3, 4, 5], maxBatch: 2, steps: 2 }));
  assertEquals(network.asked.map(({ t }) => t.length), [2, 2, 2, 2, 1, 1]);
});

Deno.test("a sampler with two calls pending shares its evaluation with others", async () => {
  const twoAtOnce: Scheduler = {
    name: "two",
    api: 1,
    async *sampler(run) {
      for (const t of run.timesteps) {
        const [a] = await Promise.all([run.denoise(run.x, t), run.denoise(run.x, t / 2)]);
        yield { t, x: run.x, x_0: a.x_0 };
      }
      return run.x;
    },
  };
  const network = fakeNetwork();
  await Array.fromAsync(start(network, { seeds: [1, 2], scheduler: twoAtOnce, steps: 3 }));
  assertEquals(network.asked.map(({ t }) => t.length), [4, 4, 4]);
});

Deno.test("the first draw of a seed is x_T unless another is given", async () => {
  const network = fakeNetwork();
  const x_T = [new Float32Array(16).fill(0.25)];
  await Array.fromAsync(start(network, { seeds: [9], steps: 1 }));
  await Array.fromAsync(start(network, { seeds: [9], steps: 1, x_T }));
  assertEquals(network.asked.map(({ x }) => x), [createGenerator(9).randn(16), x_T[0]]);
});

Deno.test("without a label each seed has a class of its own, the same in any company", async () => {
  const facts = { labels: ["a", "b", "c"] };
  const frames = await finished({ seeds: [5, 6, 7] }, facts);
  assertEquals(frames.map(({ label }) => label), [2, 0, 1]);
  const chosen = await finished({ seeds: [5, 6, 7], labels: [0, 0, 2] }, facts);
  assertEquals(chosen.map(({ label }) => label), [0, 0, 2]);
});

Deno.test("another schedule asks the network at the times of equal noise", async () => {
  const network = fakeNetwork();
  const same = fakeNetwork();
  await Array.fromAsync(start(network, { seeds: [1], schedule: "cosine" }));
  await Array.fromAsync(start(same, { seeds: [1], schedule: "linear" }));
  assertEquals(same.asked.map(({ t }) => t[0]), [750, 500, 250, 0]);
  const asked = network.asked.map(({ t }) => t[0]);
  assert(asked.every((t, i) => t !== same.asked[i].t[0] || i === 3), `${asked}`);
  assert(asked.every((t, i) => i === 0 || t < asked[i - 1]), `${asked}`);
});

Deno.test("a consumer that stops early leaves nothing running", async () => {
  const network = fakeNetwork();
  const frames = start(network, { steps: 50 });
  await frames.next();
  await frames.return();
  const asked = network.asked.length;
  await settled();
  assertEquals(network.asked.length, asked);
  assert(asked < 50);
});

Deno.test("stopping waits for the evaluation under way and ends every sampler", async () => {
  const door = gate();
  let ended = 0;
  const network = fakeNetwork({
    before: () => network.asked.length === 2 ? door.opened : undefined,
  });
  const watched: Scheduler = {
    name: "watched",
    api: 1,
    async *sampler(run) {
      try {
        return yield* schedulers.ddim.sampler!({ ...run, options: { eta: 0 } });
      } finally {
        ended++;
      }
    },
  };
  const frames = start(network, { scheduler: watched });
  await frames.next();
  await settled();
  let stopped = false;
  const stopping = frames.return().then(() => stopped = true);
  await settled();
  assertEquals(stopped, false);
  door.open();
  await stopping;
  assertEquals([ended, network.asked.length], [3, 2]);
});

Deno.test("a consumer that pauses bounds what is made ahead of it", async () => {
  const network = fakeNetwork();
  const frames = start(network, { seeds: [1], steps: 1000, maxBatch: 1 });
  await frames.next();
  await settled();
  // One was taken, two lie ready, and one waits for room.
  assertEquals(network.asked.length, 4);
  await frames.return();
});

Deno.test("aborting ends the run with the signal's reason between two steps", async () => {
  const controller = new AbortController();
  const network = fakeNetwork();
  const frames = start(network, { steps: 100, signal: controller.signal });
  const reason = new Error("enough");
  await assertRejects(
    async () => {
      for await (const { step } of frames) if (step === 3) controller.abort(reason);
    },
    Error,
    "enough",
  );
  assert(network.asked.length < 20);
});

Deno.test("a network that fails ends the run with its error", async () => {
  const network = fakeNetwork({
    before() {
      if (network.asked.length === 3) throw new Error("device lost");
    },
  });
  await assertRejects(() => Array.fromAsync(start(network)), Error, "device lost");
});

Deno.test("a sampler that yields too few frames is told so by name", async () => {
  const lazy: Scheduler = {
    name: "lazy",
    api: 1,
    // deno-lint-ignore require-yield
    async *sampler(run) {
      return await Promise.resolve(run.x);
    },
  };
  await assertRejects(
    () => Array.fromAsync(start(fakeNetwork(), { scheduler: lazy })),
    InputError,
    'scheduler "lazy": expected a frame for each of 4 timesteps, found 0',
  );
});

Deno.test("what cannot be is refused before the network is asked, naming it", async () => {
  const requests: [Request, string][] = [
    [{ seeds: [0, -1] }, "seed: expected a whole number from 0 to 4294967295, found -1"],
    [{ seeds: [0, 2 ** 32] }, "found 4294967296"],
    [{ steps: 1001 }, "steps"],
    [{ steps: 0 }, "steps"],
    [{ timesteps: [10, 20] }, "timesteps[1]"],
    [
      { options: { eat: 1 } },
      'options.eat: expected an option of "ddim" (eta, clipped_eps), found 1',
    ],
    [{ options: { eta: 2 } }, "options.eta: expected a number from 0 to 1, found 2"],
    [{ options: { eta: "1" } }, 'options.eta: expected a number from 0 to 1, found "1"'],
    [{ schedule: "square" }, "schedule: expected one of"],
    [{ maxBatch: 0 }, "maxBatch"],
    [{ x_T: [new Float32Array(16)] }, "x_T: expected one for each of 3 seeds, found 1"],
  ];
  for (const [request, message] of requests) {
    const network = fakeNetwork();
    await assertRejects(() => start(network, request).next(), InputError, message);
    assertEquals(network.asked, []);
  }
  const pureNoise = fakeNetwork({
    scheduler: parseSchedulerConfig({ rescale_betas_zero_snr: true }),
  });
  await assertRejects(() => start(pureNoise).next(), InputError, "ᾱ = 0");
  // What predicts v or x_0 knows what to say of pure noise.
  for (const prediction_type of ["v_prediction", "sample"]) {
    const scheduler = parseSchedulerConfig({ rescale_betas_zero_snr: true, prediction_type });
    prepare(fakeNetwork({ scheduler }), {});
  }
});

Deno.test("what is left out is what the weights recommend", () => {
  const recommended = { scheduler: "dpmpp", steps: 12 };
  const { method } = prepare(fakeNetwork({ recommended }), {});
  assertEquals([method.scheduler, method.steps], ["dpmpp", 12]);
  const plain = prepare(fakeNetwork(), { steps: 3 });
  assertEquals([plain.method.scheduler, plain.method.steps], ["ddim", 3]);
});

Deno.test("what cannot be is told where the work is awaited, never at the call", async () => {
  const network = { ...fakeNetwork(), hash: "fake" };
  const wrong = [{ scheduler: "nope" }, { steps: 0 }, { seeds: [-1] }, { guidance: 2 }];
  for (const options of wrong) {
    const request = { seeds: [1], ...options };
    const frames = sample(network, request);
    await assertRejects(() => frames.next(), InputError);
    const made = generate(network, request);
    await assertRejects(() => made, InputError);
  }
});
