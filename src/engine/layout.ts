/** What lies where in the engine's memory: the kernels' own words, weights, then what a plan needs. */
import { encode, type Step } from "./plan/step.ts";
import type { Plan } from "./plan/plan.ts";
import { roundUp } from "./plan/view.ts";
import type { WeightStore } from "./plan/weights.ts";

/** Beyond the words of `kernels/sync.ts`. */
const WEIGHTS_BASE = 1024;
/** The word that tells waiting threads to give up; see `kernels/sync.ts`. */
export const ABORTED = 256;
/** The word that counts phases of all runs; see `kernels/sync.ts`. */
export const PHASE = 68;
/** The words that threads meet at. */
export const SYNC_WORDS = { from: 64, to: 320 } as const;
/** Products may read some rows behind their last one. */
const SLACK = 256 * 1024;
const PAGE = 65536;

/** Gives weights their addresses. @returns where they end */
export function placeWeights(store: WeightStore): number {
  let at = WEIGHTS_BASE;
  for (const buffer of store.buffers) {
    buffer.address = at;
    at = roundUp(at + buffer.bytes, 64);
  }
  return at;
}

/** A plan in memory. */
export interface PlacedPlan {
  readonly plan: Plan;
  readonly commands: Int32Array;
  /** Where the commands lie. */
  readonly at: number;
  /** Where the plan's memory ends. */
  readonly end: number;
}

/** Gives everything of a plan its address behind the weights. */
export function placePlan(plan: Plan, base: number, threads: number): PlacedPlan {
  const arena = roundUp(base, 64);
  for (const buffer of plan.buffers) buffer.address += arena;
  const scratch = { address: roundUp(arena + plan.arenaBytes, 64), bytes: plan.scratchBytes };
  const commands = encode(plan.steps, scratch);
  const at = scratch.address + scratch.bytes * threads;
  return { plan, commands, at, end: at + commands.byteLength + SLACK };
}

/** One step alone, for profiles. */
export function encodeAlone(step: Step, placed: PlacedPlan, base: number): Int32Array {
  const arena = roundUp(base, 64);
  const address = roundUp(arena + placed.plan.arenaBytes, 64);
  return encode([step], { address, bytes: placed.plan.scratchBytes });
}

export function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE);
}
