/** A network whose answers are a formula, which keeps a record of how it was asked. */
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import type { NamedNetwork } from "../src/sampling/pictures.ts";

export interface FakeOptions {
  milliseconds?: number;
  failAt?: (t: number) => boolean;
  classes?: number;
  nullLabel?: number;
  config?: Record<string, unknown>;
  learnedVariance?: boolean;
}

export interface FakeNetwork extends NamedNetwork {
  /** The timesteps of each evaluation so far. */
  readonly batches: number[][];
  readonly labelBatches: number[][];
  mostAtOnce: number;
  /** Resolves when the next evaluation has begun. */
  started(): Promise<void>;
  /** What the network says of a pixel at t, under a label. */
  output(x: number, t: number, label?: number): number;
}

/** Pictures of 1×2×2. The outcome depends on x, t and the label, and on nothing beside them. */
export function fakeNetwork(options: FakeOptions = {}): FakeNetwork {
  const { milliseconds = 0, failAt, classes, learnedVariance = false } = options;
  let running = 0;
  let onStart: (() => void)[] = [];
  const outChannels = learnedVariance ? 2 : 1;
  const network: FakeNetwork = {
    hash: "fake",
    source: "fake",
    backend: "fake",
    shape: [1, 2, 2],
    outChannels,
    scheduler: parseSchedulerConfig({ _class_name: "DDPMScheduler", ...options.config }),
    labels: classes === undefined
      ? undefined
      : Array.from({ length: classes }, (_, i) => `class ${i}`),
    nullLabel: options.nullLabel,
    batches: [],
    labelBatches: [],
    mostAtOnce: 0,
    started: () => new Promise((resolve) => onStart.push(resolve)),
    output: (x, t, label = 0) => Math.fround(Math.fround(x * 0.5) + t / 1000 + label),
    async predict(x, t, labels) {
      running++;
      network.mostAtOnce = Math.max(network.mostAtOnce, running);
      network.batches.push([...t]);
      if (labels) network.labelBatches.push([...labels]);
      for (const resolve of onStart) resolve();
      onStart = [];
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      running--;
      if (failAt && t.some(failAt)) throw new Error("the engine failed");
      const size = 4;
      const out = new Float32Array(t.length * outChannels * size);
      for (let n = 0; n < t.length; n++) {
        for (let i = 0; i < outChannels * size; i++) {
          out[n * outChannels * size + i] = network.output(
            x[n * size + i % size],
            t[n],
            labels?.[n],
          );
        }
      }
      return out;
    },
  };
  return network;
}
