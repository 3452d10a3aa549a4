/** Batches with the teacher's targets: guidance distillation and progressive halving. */
import { spacedTimesteps } from "../../diffusion/mod.ts";
import type { TrainBatch } from "../objective/batch.ts";
import { ddimStep, levelOf, noise, noiseOf, oneStepTarget } from "./steps.ts";
import type { Lesson } from "../run/loop.ts";
import { type Teacher, teacherOf } from "./teacher.ts";

/** A lesson for which the teacher alone is asked. */
type TeachersLesson = (batch: TrainBatch) => Promise<TrainBatch>;

/**
 * Stage one of Meng et al. 2023: at every time the student learns the teacher's guided estimate, so
 * that one evaluation does what two did.
 */
export function guidanceLesson(teacher: Teacher): TeachersLesson {
  return async (batch) => {
    const z = noisy(batch, batch.t, teacher);
    return retarget(batch, batch.t, z, await teacher.estimate({ ...batch, z }), teacher);
  };
}

/**
 * Progressive distillation (Salimans & Ho 2022, algorithm 2): at the times of its N steps the student
 * learns where two of the teacher's 2N steps lead.
 * @param N the student's steps; T must be a multiple of it
 */
export function halvingLesson(teacher: Teacher, N: number, T: number): TeachersLesson {
  // Trailing timesteps, as the sampler takes them: every second of the teacher's is the student's.
  const times = spacedTimesteps(2 * N, T, "trailing");
  const alphaBarAt = (i: number) => i < times.length ? teacher.alpha_bar(times[i]) : 1;
  return async (batch) => {
    const { labels } = batch;
    // The batch's t is spread evenly over 0 … T−1: so are its steps.
    const first = Array.from(batch.t, (t) => 2 * (N - 1 - Math.floor(t / T * N)));
    const timesAt = (offset: number) => Float32Array.from(first, (i) => times[i + offset]);
    const level = (i: number, offset: number) => levelOf(alphaBarAt(first[i] + offset));

    const t = timesAt(0);
    const z = noisy(batch, t, teacher);
    const x_1 = await teacher.estimate({ z, t, labels });
    const z_1 = z.map((z, i) => ddimStep(z, x_1[i], level(i, 0), level(i, 1)));
    const x_2 = await teacher.estimate({ z: z_1, t: timesAt(1), labels });
    const z_2 = z_1.map((z, i) => ddimStep(z, x_2[i], level(i, 1), level(i, 2)));
    const target = z.map((z, i) => oneStepTarget(z, z_2[i], level(i, 0), level(i, 2)));
    return retarget(batch, t, z, target, teacher);
  };
}

/**
 * Consistency distillation (Song et al. 2023, algorithm 2): wherever it is on the teacher's path from
 * noise to picture, the student is to name the path's end. What it says one of N steps further on is
 * its own target, at the last one the end itself; v makes it the identity there, as it has to be.
 * @param N the times on the path; T must be a multiple of it
 */
export function consistencyLesson(teacher: Teacher, N: number, T: number): Lesson {
  const times = spacedTimesteps(N, T, "trailing");
  return async (batch, network) => {
    const { labels } = batch;
    const at = Array.from(batch.t, (t) => N - 1 - Math.floor(t / T * N));
    const t = Float32Array.from(at, (i) => times[i]);
    const z_t = noisy(batch, t, teacher);
    const x_hat = await teacher.estimate({ z: z_t, t, labels });
    const level = (i: number) => levelOf(i < N ? teacher.alpha_bar(times[i]) : 1);
    const z_r = z_t.map((z, k) => ddimStep(z, x_hat[k], level(at[k]), level(at[k] + 1)));
    const target = z_r.slice();
    const onTheWay = z_r.keys().filter((k) => at[k] + 1 < N).toArray();
    const ends = await teacherOf(network, 1).estimate({
      z: onTheWay.map((k) => z_r[k]),
      t: Float32Array.from(onTheWay, (k) => times[at[k] + 1]),
      labels: labels && Int32Array.from(onTheWay, (k) => labels[k]),
    });
    onTheWay.forEach((k, i) => target[k] = ends[i]);
    return retarget(batch, t, z_t, target, teacher);
  };
}

/** Each picture of the batch at its time. */
function noisy({ x_0, eps }: TrainBatch, t: Float32Array, teacher: Teacher): Float32Array[] {
  const size = x_0.length / t.length;
  return Array.from(t, (t, i) => {
    const part = (data: Float32Array) => data.subarray(i * size, (i + 1) * size);
    return noise(part(x_0), part(eps), levelOf(teacher.alpha_bar(t)));
  });
}

/** The batch with x̃ in place of x_0, and the noise that then gives the same z_t. */
function retarget(
  { labels, x_0: { length } }: TrainBatch,
  t: Float32Array,
  z: readonly Float32Array[],
  target: readonly Float32Array[],
  teacher: Teacher,
): TrainBatch {
  const [x_0, eps] = [new Float32Array(length), new Float32Array(length)];
  z.forEach((z_t, i) => {
    x_0.set(target[i], i * z_t.length);
    eps.set(noiseOf(z_t, target[i], levelOf(teacher.alpha_bar(t[i]))), i * z_t.length);
  });
  return { x_0, eps, t, labels };
}
