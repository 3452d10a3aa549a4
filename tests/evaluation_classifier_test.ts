/** What a classifier is shown, by an engine that keeps what it is fed; and what the last bin costs. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import { bitsPerDim, decoderBits } from "../src/evaluation/bits.ts";
import { trainClassifier } from "../src/evaluation/classifier.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { fakeNetwork } from "./sampling_network.ts";
import { recordingEngine } from "./training_engine.ts";

const side = 6;
/** Two pictures of two channels whose pixels are all different. */
const data = bytesDataSet(
  Uint8Array.from({ length: 2 * 2 * side * side }, (_, i) => i),
  [2, side, side],
  { labels: Int32Array.of(1, 0), labelNames: ["a", "b"] },
);

/** Picture i moved by so much, what lies beyond its edges being the edge. */
function moved(i: number, dy: number, dx: number): string {
  const picture = new Float32Array(2 * side * side);
  data.picture(i, picture);
  const inside = (v: number) => Math.min(side - 1, Math.max(0, v));
  return picture.map((_, p) => {
    const x = p % side, y = Math.floor(p / side) % side;
    return picture[p - p % (side * side) + inside(y + dy) * side + inside(x + dx)];
  }).join();
}

Deno.test("pictures that come again come moved by up to two pixels each way, with their own label", async () => {
  const places = new Map<string, { i: number; shift: string }>();
  const shifts = [-2, -1, 0, 1, 2];
  for (const i of [0, 1]) {
    for (const dy of shifts) {
      for (const dx of shifts) places.set(moved(i, dy, dx), { i, shift: `${dy},${dx}` });
    }
  }
  const engine = recordingEngine();
  await trainClassifier(engine, data, { steps: 20, batch: 20 });
  const seen = new Set<string>();
  for (const { feeds: { pictures, wanted } } of engine.runs) {
    for (let n = 0; n < 20; n++) {
      const place = places.get(
        pictures.data.slice(n * 2 * side * side, (n + 1) * 2 * side * side).join(),
      );
      assert(place, "no picture of the set, moved");
      seen.add(place.shift);
      assertEquals([...wanted.data.slice(2 * n, 2 * n + 2)], place.i === 0 ? [0, 1] : [1, 0]);
    }
  }
  assertEquals(seen.size, 25);
  assertEquals(engine.open, 0);
});

Deno.test("the last bin is that of the posterior's first variance that is not 0", async () => {
  const scheduler = parseSchedulerConfig({
    num_train_timesteps: 5,
    beta_start: 0.05,
    beta_end: 0.5,
    prediction_type: "sample",
  });
  const network = {
    ...fakeNetwork({ scheduler }),
    predict: (x: Float32Array) => Promise.resolve(x.map(() => Math.fround(0.2))),
  };
  const pictures = bytesDataSet(new Uint8Array(32).fill(153), [1, 4, 4]);
  const { decoder } = await bitsPerDim(network, pictures, { pictures: 2 });
  const { betas, alphas_cumprod: [first, second] } = scheduleFor(scheduler);
  const beta_tilde = betas[1] * (1 - first) / (1 - second);
  const expected = decoderBits(Float32Array.of(0.2), Float64Array.of(0.2), Math.log(beta_tilde));
  assertAlmostEquals(decoder, expected, 1e-4);
});

Deno.test("a classifier's training ends with the update in which it is stopped", async () => {
  const engine = recordingEngine();
  const stop = new AbortController();
  const training = trainClassifier(engine, data, {
    steps: 20,
    batch: 2,
    signal: stop.signal,
    onProgress: (done) => done === 3 && stop.abort(new Error("stopped here")),
  });
  await assertRejects(() => training, Error, "stopped here");
  assertEquals([engine.runs.length, engine.open], [3, 0]);
});
