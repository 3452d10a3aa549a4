/** Time travel: the order of steps that jump back to noisier levels and denoise again. */

/** One move of a run with time travel; `at` is the place of a timestep in the run's list. */
export type Move =
  | { readonly kind: "step"; readonly at: number; /** Not visited again. */ readonly last: boolean }
  | { readonly kind: "back"; readonly at: number; readonly to: number };

/**
 * The moves of n timesteps with jumps: at every `length`-th timestep, counted from the last, the run
 * goes `length` timesteps back and down again, until it has passed there `repeats` times (Lugmayr et
 * al. 2022, §4.2). 1 repeat is a plain run.
 */
export function timeTravel(n: number, length: number, repeats: number): Move[] {
  const moves: Move[] = [];
  const left = new Map<number, number>();
  for (let j = 0; j < n - length; j += length) left.set(n - 1 - j, repeats - 1);
  for (let at = 0; at < n;) {
    const jumps = left.get(at) ?? 0;
    if (jumps > 0) {
      left.set(at, jumps - 1);
      moves.push({ kind: "back", at, to: at - length });
      at -= length;
    } else {
      moves.push({ kind: "step", at, last: true });
      at++;
    }
  }
  // Only the last visit of a timestep is its last: mark the others.
  const seen = new Set<number>();
  return moves.toReversed().map((move) => {
    if (move.kind === "back") return move;
    const last = !seen.has(move.at);
    seen.add(move.at);
    return { ...move, last };
  }).reverse();
}

/** How many steps, each an evaluation, {@link timeTravel} makes. */
export function travelSteps(n: number, length: number, repeats: number): number {
  return timeTravel(n, length, repeats).filter(({ kind }) => kind === "step").length;
}
