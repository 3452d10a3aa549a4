/** What the page of a run says, in words. */
import type { RunState, StageState } from "../run_state.ts";

export const count = (n: number): string => n.toLocaleString("en-US");

/** About how long: 8 s, 5 min, 1 h 2 min. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Where the run is, in a sentence. */
export function statusOf(
  { done, updates, secondsLeft, stages, current }: RunState,
  ended: boolean,
): string {
  if (done === 0) return ended ? "ended before the first update" : "before the first update";
  const part = stages.length > 1 ? `${stages[current].name}: ` : "";
  const of = updates === undefined ? "" : ` of ${count(updates)}`;
  const tail = updates !== undefined && done >= updates
    ? "done"
    : ended
    ? "stopped; train --resume goes on with it"
    : secondsLeft === undefined
    ? ""
    : `about ${duration(secondsLeft)} left`;
  return `${part}${count(done)}${of} updates${tail && `, ${tail}`}`;
}

/** A stage on its button. */
export function stageText({ name, done, updates }: StageState): string {
  return `${name} ${count(done)}${updates === undefined ? "" : ` / ${count(updates)}`}`;
}

/** The loss, and how long an update takes; a dash before there is any. */
export function lossText({ loss }: StageState): string {
  return loss === undefined ? "–" : loss.toPrecision(4);
}

export function speedText({ msPerUpdate: ms }: StageState): string {
  if (ms === undefined) return "–";
  return ms < 999.5 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
