/** An evaluation part by part: what is told after each, what is said meanwhile, and how it is stopped. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { type EvalOptions, evaluate, type Evaluation } from "../src/evaluation/evaluate.ts";
import type { Model } from "../src/model/model.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { fingerprintOf } from "../src/training/data/fingerprint.ts";
import { temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";
import { fakeNetwork } from "./sampling_network.ts";

const backend = await backendByName("native");
const T = 4;

/** Pictures of 4 × 5 pixels, dark and light ones in turn. */
function pictures(count: number, labelNames = ["a", "b"]) {
  const bytes = Uint8Array.from(
    { length: 20 * count },
    (_, i) => (Math.floor(i / 20) % 2 ? 180 : 20) + (i * 7) % 50,
  );
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  return bytesDataSet(bytes, [1, 4, 5], { labels, labelNames });
}

const heldOut = pictures(8), train = pictures(12);

function painted(): Model {
  const scheduler = parseSchedulerConfig({ num_train_timesteps: T });
  const network = fakeNetwork({ shape: [1, 4, 5], labels: ["a", "b"], nullLabel: 2, scheduler });
  return { ...network, source: "mine", hash: "ab", backend: "fake" } as unknown as Model;
}

async function measured(rest: Partial<EvalOptions> = {}): Promise<Evaluation> {
  await using cache = await temporaryFolder();
  const model = painted();
  return await withEnvironment({ DENOISE_CACHE: cache.path }, () =>
    evaluate(model, {
      train,
      heldOut,
      backend,
      session: { threads: 1 },
      classifierSteps: 2,
      lossPictures: 2,
      bitsPictures: 2,
      samples: 2,
      samplers: [{ guidance: 1, steps: 2, scheduler: "ddim" }],
      ...rest,
    }));
}

const also = [{ name: "others", train: pictures(6), heldOut: pictures(4) }];
const whole: Partial<EvalOptions> = { among: train, also };

Deno.test("after each part everything that is known is told, and what goes on is said by its name", async () => {
  const parts: string[][] = [], said: string[] = [], told: Evaluation[] = [];
  let nearest: number | undefined;
  const all = await measured({
    ...whole,
    onPart: (soFar) => {
      told.push(soFar);
      parts.push(Object.keys(soFar).slice(6));
    },
    onProgress: (part, done, total) => said.push(`${part} ${done}/${total}`),
    onNearest: (pairs) => {
      nearest = pairs.length;
      assertEquals(parts.length, 3, "its figures are told before its pictures");
      return Promise.resolve();
    },
  });
  const start = ["epsLoss", "bits", "nearest"];
  const scored = [
    ...["classifier", "also", "frechetOfRealHalves", "kernelOfRealHalves", "realPixels"],
  ];
  assertEquals(parts, [
    ["epsLoss"],
    ["epsLoss", "bits"],
    start,
    [...start, ...scored],
    [...start, ...scored],
  ]);
  // What was told does not change behind the listener's back.
  assertEquals(told.map(({ samples }) => samples.length), [0, 0, 0, 0, 1]);
  assertEquals(nearest, 8);
  const count = (part: string, total: number, from = 1) =>
    Array.from({ length: total - from + 1 }, (_, i) => `${part} ${from + i}/${total}`);
  assertEquals(said, [
    ...count("ε-loss", T),
    ...count("bits/dim", T),
    ...["samples to look for copies among 0/8", "samples to look for copies among 8/8"],
    ...count("classifier", 2),
    ...count("classifier of others", 2),
    ...count("samples of ddim 2, guidance 1", 2),
  ]);

  const { weights, backend, heldOutPictures, heldOutSha256, region } = all;
  assertEquals([weights, backend, heldOutPictures], [{ source: "mine", hash: "ab" }, "fake", 8]);
  assertEquals([heldOutSha256, region], [fingerprintOf(heldOut), "the whole picture, 5×4×1"]);
  const { bands, mean } = all.epsLoss!;
  assertAlmostEquals(mean, bands.reduce((sum, { loss }) => sum + loss, 0) / T, 1e-12);
  assert(bands.every(({ pictures }) => pictures === 2) && all.bits!.pictures === 2);
  assertEquals(all.samples.map(({ samples, of }) => [samples, of]), [[2, "weights"]]);
});

Deno.test("a teacher's samples are said to be the teacher's", async () => {
  const said = new Set<string>();
  const recommended = { scheduler: "dpmpp", steps: 3 };
  const alone = await measured({
    ...{ lossPictures: 0, bitsPictures: 0 },
    teachers: [{ name: "big", network: { ...painted(), recommended } }],
    onProgress: (part) => said.add(part),
  });
  const parts = ["big: samples of dpmpp 3, guidance 1", "samples of ddim 2, guidance 1"];
  assertEquals([...said], ["classifier", ...parts]);
  assertEquals(alone.also, undefined);
});

Deno.test("what is not asked for is left out", async () => {
  const keys = async (rest: Partial<EvalOptions>) =>
    Object.keys(await measured({ lossPictures: 0, bitsPictures: 0, samples: 0, ...rest })).slice(6);
  assertEquals(await keys({}), []);
  assertEquals(await keys({ lossPictures: 1 }), ["epsLoss"]);
  assertEquals(await keys({ bitsPictures: 1 }), ["bits"]);
  assertEquals(await keys({ among: train }), ["nearest"]);
  const unlabelled = { ...pictures(6), labels: undefined, labelNames: undefined };
  assertEquals(await keys({ samples: 2, train: unlabelled }), []);
  assertEquals(await keys({ samples: 2, heldOut: unlabelled }), []);
});

for (
  const part of [
    ...["ε-loss", "bits/dim", "samples to look for copies among"],
    ...["classifier", "classifier of others", "samples of ddim 2, guidance 1"],
  ]
) {
  Deno.test(`an evaluation that is stopped at its ${part} goes no further`, async () => {
    const stop = new AbortController();
    const said = new Set<string>();
    const stopped = measured({
      ...whole,
      // More than are drawn at once.
      samples: 40,
      signal: stop.signal,
      onProgress(now) {
        assert(!stop.signal.aborted || said.has(now), `${now} begins`);
        said.add(now);
        if (now === part) stop.abort(new Error("enough"));
      },
    });
    await assertRejects(() => stopped, Error, "enough");
  });
}
