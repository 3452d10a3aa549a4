/** A network that is quick and known exactly, and that a test can count, hold up and break. */
import type { ServedModel } from "../src/server/mod.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";

export interface FakeOptions {
  shape?: [number, number, number];
  labels?: readonly string[];
  nullLabel?: number;
  hash?: string;
  /** Milliseconds of one evaluation. */
  latency?: number;
  /** Runs before each evaluation; what it throws is what the network throws. */
  before?: (evaluation: number, batch: number) => void | Promise<void>;
}

export interface FakeModel extends ServedModel {
  /** Images in each evaluation so far. */
  readonly batches: number[];
  readonly evaluations: number;
}

const config = parseSchedulerConfig({
  _class_name: "DDPMScheduler",
  num_train_timesteps: 1000,
  beta_schedule: "linear",
}, "fake");

export const FAKE_HASH = "0123456789abcdef".repeat(4);

/** ε̂ = tanh(x)·(½ + t/2000) + label/50: every image its own, whatever its neighbours are. */
export function fakeModel(options: FakeOptions = {}): FakeModel {
  const { shape = [1, 8, 8], labels, nullLabel, hash = FAKE_HASH, latency = 0, before } = options;
  const batches: number[] = [];
  const size = shape[0] * shape[1] * shape[2];
  return {
    shape,
    outChannels: shape[0],
    scheduler: config,
    labels,
    nullLabel,
    hash,
    backend: "fake",
    recommended: { scheduler: "ddim", steps: 5 },
    batches,
    get evaluations() {
      return batches.length;
    },
    async predict(x, t, classes) {
      batches.push(t.length);
      await before?.(batches.length, t.length);
      if (latency > 0) await new Promise((resolve) => setTimeout(resolve, latency));
      return x.map((value, i) => {
        const n = Math.floor(i / size);
        return Math.tanh(value) * (0.5 + t[n] / 2000) + (classes?.[n] ?? 0) / 50;
      });
    },
  };
}

/** A promise that a test settles. */
export function gate(): { open: () => void; wait: Promise<void> } {
  let open!: () => void;
  const wait = new Promise<void>((resolve) => open = resolve);
  return { open, wait };
}

/** Waits until a condition holds; a test that would wait for ever fails instead. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
