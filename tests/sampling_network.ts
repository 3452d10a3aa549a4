/** Networks whose answers are known, for tests of what lies around a network. */
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import type { Network } from "../src/model/network.ts";

/** One evaluation that a fake network was asked for. */
export interface Asked {
  readonly x: Float32Array;
  readonly t: readonly number[];
  readonly labels?: readonly number[];
}

export interface FakeOptions extends Partial<Omit<Network, "predict">> {
  /** Runs before an evaluation answers; what it throws, the evaluation throws. */
  before?(asked: Asked): void | Promise<void>;
}

/** Counts what it is asked, and notices evaluations that overlap. */
export interface FakeNetwork extends Network {
  readonly asked: Asked[];
  /** The most evaluations that ever ran at once. */
  readonly mostAtOnce: () => number;
}

/** What the fake says about one number of an image: every argument matters. */
export function answer(x: number, t: number, label = 0): number {
  return Math.fround(Math.fround(x * (0.5 + t / 4000)) + label / 8);
}

/** A network of 1×4×4 pictures by default; its 2C output repeats the first half negated. */
export function fakeNetwork({ before, ...facts }: FakeOptions = {}): FakeNetwork {
  const asked: Asked[] = [];
  let running = 0, most = 0;
  const shape = facts.shape ?? [1, 4, 4];
  const size = shape.reduce((a, b) => a * b);
  return {
    shape,
    outChannels: shape[0],
    scheduler: parseSchedulerConfig({}),
    ...facts,
    asked,
    mostAtOnce: () => most,
    async predict(x, t, labels) {
      most = Math.max(most, ++running);
      const call = { x: x.slice(), t: [...t], labels: labels && [...labels] };
      asked.push(call);
      try {
        await before?.(call);
        const halves = (facts.outChannels ?? shape[0]) / shape[0];
        const output = new Float32Array(x.length * halves);
        t.forEach((time, n) => {
          for (let i = 0; i < size; i++) {
            const said = answer(x[n * size + i], time, labels?.[n]);
            output[n * size * halves + i] = said;
            if (halves === 2) output[n * size * 2 + size + i] = -said;
          }
        });
        return output;
      } finally {
        running--;
      }
    },
  };
}

/** A door that tests open: `before` waits at it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Lets everything that can run, run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
