/** What students are shown: the arithmetic of distillation against what it must amount to. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { createGenerator, parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import type { SchedulerConfig } from "../src/diffusion/scheduler.ts";
import { sample } from "../src/sampling/sample.ts";
import type { Network } from "../src/model/network.ts";
import { guidanceLesson, halvingLesson } from "../src/training/distill/lessons.ts";
import { ddimStep, levelOf, noise, noiseOf, oneStepTarget } from "../src/training/distill/steps.ts";
import { teacherOf } from "../src/training/distill/teacher.ts";
import type { TrainBatch } from "../src/training/objective/batch.ts";
import { gaussianOracle } from "./scheduler_contract.ts";
import { fakeNetwork } from "./sampling_network.ts";

const T = 1000;
const config = (prediction_type: string): SchedulerConfig =>
  parseSchedulerConfig({
    prediction_type,
    beta_schedule: "squaredcos_cap_v2",
    timestep_spacing: "trailing",
    num_train_timesteps: T,
  });
const { alpha_bar } = scheduleFor(config("epsilon"));

/** A network that is right about x_0 ~ N(0.2, 0.15²), asked for ε or v. */
function exactNetwork(prediction_type: "epsilon" | "v_prediction"): Network {
  return {
    shape: [1, 4, 4],
    outChannels: 1,
    scheduler: config(prediction_type),
    predict: (x, t) => {
      const out = x.map((x_t, p) => {
        const a = alpha_bar(t[Math.floor(p / 16)]);
        const { eps, x_0 } = gaussianOracle(Float32Array.of(x_t), a);
        return prediction_type === "epsilon"
          ? eps[0]
          : Math.sqrt(a) * eps[0] - Math.sqrt(1 - a) * x_0[0];
      });
      return Promise.resolve(out);
    },
  };
}

function batch(images: number, seed = 1): TrainBatch {
  const generator = createGenerator(seed);
  return {
    x_0: generator.randn(images * 16).map((x) => 0.2 + 0.15 * x),
    eps: generator.randn(images * 16),
    t: Float32Array.from({ length: images }, (_, i) => Math.floor((i + 0.5) / images * T)),
  };
}

function largest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a, (x, i) => Math.abs(x - b[i])).reduce((m, x) => Math.max(m, x), 0);
}

async function drawn(network: Network, steps: number): Promise<Float32Array> {
  for await (const { done, x } of sample(network, { seeds: [5], scheduler: "ddim", steps })) {
    if (done) return x;
  }
  throw new Error("nothing was drawn");
}

Deno.test("the one-step target leads DDIM where two steps led, at any two levels", () => {
  const generator = createGenerator(3);
  for (const [from, to] of [[1, 0.3], [999, 499], [999, -1], [249, 124], [50, -1]]) {
    const [t, s] = [levelOf(alpha_bar(from)), levelOf(alpha_bar(to))];
    const [z_t, z_s] = [generator.randn(16), generator.randn(16)];
    const target = oneStepTarget(z_t, z_s, t, s);
    assert(largest(ddimStep(z_t, target, t, s), z_s) < 1e-4, `${from} to ${to}`);
  }
});

Deno.test("the target and its noise make the noisy picture the student is asked about", () => {
  const generator = createGenerator(4);
  for (const t of [0, 1, 124, 499, 998, 999]) {
    const level = levelOf(alpha_bar(t));
    const [z, target] = [generator.randn(16), generator.randn(16)];
    assert(largest(noise(target, noiseOf(z, target, level), level), z) < 1e-5, `t ${t}`);
  }
});

Deno.test("a guided teacher's estimate is that of the guided output, clipped", async () => {
  const answers: Record<number, number> = { 0: 0.5, 1: -0.25 };
  const network: Network = {
    shape: [1, 1, 1],
    outChannels: 1,
    labels: ["a"],
    nullLabel: 1,
    scheduler: parseSchedulerConfig({ prediction_type: "sample" }),
    predict: (_, t, labels) => Promise.resolve(Float32Array.from(t, (_, i) => answers[labels![i]])),
  };
  const teacher = teacherOf(network, 2);
  const z = [Float32Array.of(0.1)];
  const [x_hat] = await teacher.estimate({ z, t: Float32Array.of(5), labels: Int32Array.of(0) });
  // −0.25 + 2·(0.5 + 0.25) = 1.25
  assertEquals([...x_hat], [1]);
  // Guided at some times, it says what the class alone does at the others.
  const sometimes = teacherOf(network, 1.5, [5, 9]);
  const asked = { z: [z[0], z[0], z[0], z[0]], t: Float32Array.of(4, 5, 9, 10) };
  const all = await sometimes.estimate({ ...asked, labels: new Int32Array(4) });
  assertEquals(all.map(([x]) => x), [0.5, 0.875, 0.875, 0.5]);
});

Deno.test("learning the guidance asks for the teacher's estimate at every time, whatever it predicts", async () => {
  for (const prediction of ["epsilon", "v_prediction"] as const) {
    const teacher = teacherOf(exactNetwork(prediction), 1);
    const asked = batch(8);
    const taught = await guidanceLesson(teacher)(asked);
    assertEquals(taught.t, asked.t);
    for (const [i, t] of asked.t.entries()) {
      const part = (data: Float32Array) => data.subarray(i * 16, (i + 1) * 16);
      const z = noise(part(asked.x_0), part(asked.eps), levelOf(alpha_bar(t)));
      assert(largest(part(taught.x_0), gaussianOracle(z, alpha_bar(t)).x_0) < 2e-3, `t ${t}`);
      const again = noise(part(taught.x_0), part(taught.eps), levelOf(alpha_bar(t)));
      assert(largest(again, z) < 1e-4, `t ${t}`);
    }
  }
});

Deno.test("a student is shown its own timesteps alone, each as often, and those the sampler takes", async () => {
  const lesson = halvingLesson(teacherOf(exactNetwork("v_prediction"), 1), 4, T);
  const { t } = await lesson(batch(32));
  const counts = new Map<number, number>();
  for (const time of t) counts.set(time, (counts.get(time) ?? 0) + 1);
  assertEquals([...counts].sort(([a], [b]) => b - a), [[999, 8], [749, 8], [499, 8], [249, 8]]);
  const visited: number[] = [];
  const network = exactNetwork("v_prediction");
  for await (const frame of sample(network, { seeds: [0], scheduler: "ddim", steps: 4 })) {
    visited.push(frame.t);
  }
  assertEquals(visited, [999, 749, 499, 249]);
});

/**
 * A student that answers as it was taught. For Gaussian pixels the target is a line in z at each time,
 * and two of what it was shown give the line.
 */
async function perfectStudent(teacher: Network, N: number): Promise<Network> {
  const lines = new Map<number, (z: number) => number>();
  const { x_0, eps, t } = await halvingLesson(teacherOf(teacher, 1), N, T)(batch(4 * N));
  for (const [i, time] of t.entries()) {
    const { alpha, sigma } = levelOf(alpha_bar(time));
    const at = (p: number) => {
      const q = 16 * i + p;
      return [alpha * x_0[q] + sigma * eps[q], x_0[q]];
    };
    const points = Array.from({ length: 16 }, (_, p) => at(p)).sort(([a], [b]) => a - b);
    const [[z_1, x_1], [z_2, x_2]] = [points[0], points[15]];
    lines.set(time, (z) => x_1 + (z - z_1) * (x_2 - x_1) / (z_2 - z_1));
  }
  return {
    ...teacher,
    scheduler: config("v_prediction"),
    predict: (x, t) => {
      const out = x.map((z, p) => {
        const time = t[Math.floor(p / 16)];
        const { alpha, sigma } = levelOf(alpha_bar(time));
        // x̂ = α·z − σ·v
        return (alpha * z - lines.get(time)!(z)) / sigma;
      });
      return Promise.resolve(out);
    },
  };
}

Deno.test("a student that learned its lessons draws in N steps what the teacher draws in 2N", async () => {
  const teacher = exactNetwork("v_prediction");
  for (const N of [4, 2, 1]) {
    const student = await perfectStudent(teacher, N);
    assert(largest(await drawn(student, N), await drawn(teacher, 2 * N)) < 2e-3, `${N} steps`);
  }
});

Deno.test("and its own student draws in half of that again", async () => {
  const teacher = exactNetwork("epsilon");
  let student = teacher;
  for (const N of [8, 4, 2, 1]) student = await perfectStudent(student, N);
  const [one, sixteen] = [await drawn(student, 1), await drawn(teacher, 16)];
  assert(largest(one, sixteen) < 1e-2);
  const mean = one.reduce((sum, x) => sum + x, 0) / one.length;
  assertAlmostEquals(mean, 0.2, 0.15);
});

Deno.test("each picture is asked about at its own time, as its own class, in one evaluation", async () => {
  const network = fakeNetwork({ labels: ["a", "b", "c"], nullLabel: 3 });
  const z = [0.25, 0.5, -0.5].map((x) => new Float32Array(16).fill(x));
  const question = { z, t: Float32Array.of(10, 500, 900), labels: Int32Array.of(2, 0, 1) };
  const together = await teacherOf(network, 1).estimate(question);
  assertEquals(network.asked.map(({ t, labels }) => [t, labels]), [[[10, 500, 900], [2, 0, 1]]]);
  for (const i of [0, 1, 2]) {
    const own = {
      z: [z[i]],
      t: question.t.slice(i, i + 1),
      labels: question.labels.slice(i, i + 1),
    };
    assertEquals(await teacherOf(network, 1).estimate(own), [together[i]]);
  }
});
