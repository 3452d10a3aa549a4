/** How far a run is, read from the files that it writes anyway. */
import type { LogLine } from "../../training/run/log.ts";
import { lossPlot } from "../../training/run/plot.ts";
import { LogTail } from "./log_tail.ts";

/** A run as a whole. */
export interface RunState {
  /** The folder's own name. */
  readonly name: string;
  /** One for a training; a distillation's in their order, those to come too. */
  readonly stages: readonly StageState[];
  /** Of the stage that was last at work. */
  readonly current: number;
  readonly done: number;
  /** Updates in all; undefined before the recipe is there. */
  readonly updates?: number;
  /** Until the last update, at the speed of the last ones. */
  readonly secondsLeft?: number;
}

/** A training, or one part of a distillation. */
export interface StageState {
  /** Its folder in the run's; "" is the run's own. */
  readonly name: string;
  readonly done: number;
  readonly updates?: number;
  /** Means of the last updates. */
  readonly loss?: number;
  readonly msPerUpdate?: number;
  /** The updates after which there is a grid of samples, ascending. */
  readonly grids: readonly number[];
}

/** Over how many updates loss and speed are averaged, as in the terminal. */
const WINDOW = 50;
const gridName = /^step-(\d{8})\.png$/;

/** The recipe's keys that say how long a run is. */
interface Lengths {
  readonly steps?: number;
  readonly guide_updates?: number;
  readonly students?: readonly number[];
  readonly student_updates?: readonly number[];
  readonly tune_updates?: number;
}

/** Reads a run's folder, again and again. */
export class RunFolder {
  readonly #logs = new Map<string, LogTail>();

  constructor(readonly path: string) {}

  async state(): Promise<RunState> {
    const planned = await this.#plan();
    const stages = await Promise.all(planned.map((stage) => this.#stage(stage)));
    const current = Math.max(0, stages.findLastIndex(({ done, grids }) => done + grids.length > 0));
    const sum = (of: (stage: StageState) => number) =>
      stages.reduce((n, stage) => n + of(stage), 0);
    const known = stages.every(({ updates }) => updates !== undefined);
    const updates = known ? sum(({ updates }) => updates!) : undefined;
    const done = sum(({ done }) => done);
    const { msPerUpdate } = stages[current];
    return {
      name: this.path.split(/[\\/]/).findLast((part) => part !== "") ?? this.path,
      stages,
      current,
      done,
      updates,
      secondsLeft: updates === undefined || msPerUpdate === undefined
        ? undefined
        : Math.max(0, updates - done) * msPerUpdate / 1000,
    };
  }

  /** The loss so far as an SVG. */
  async plot(stage: string): Promise<string> {
    return lossPlot(await this.#log(stage));
  }

  /** A grid's PNG; undefined where there is none. */
  async grid(stage: string, update: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const file = `step-${String(update).padStart(8, "0")}.png`;
    return await Deno.readFile(`${this.#folder(stage)}/samples/${file}`).catch(() => undefined);
  }

  /** The stages' names and lengths. */
  async #plan(): Promise<Pick<StageState, "name" | "updates">[]> {
    const recipe = await this.#recipe();
    const { students, student_updates = [], guide_updates = 0, tune_updates = 0 } = recipe;
    if (!students) return [{ name: "", updates: recipe.steps }];
    const halvings = students.map((steps, i) => ({
      name: `steps-${steps}`,
      updates: student_updates[i],
    }));
    // A teacher with nothing to fold in is halved at once: then there never is such a folder.
    const begun = await isThere(this.#folder(halvings[0].name));
    const isGuided = guide_updates > 0 && (!begun || await isThere(this.#folder("guided")));
    return [
      ...(isGuided ? [{ name: "guided", updates: guide_updates }] : []),
      ...halvings,
      ...(tune_updates > 0 ? [{ name: "tuned", updates: tune_updates }] : []),
    ];
  }

  async #recipe(): Promise<Lengths> {
    // Before the run has begun there is none yet.
    const text = await Deno.readTextFile(`${this.path}/recipe.json`).catch(() => "{}");
    return JSON.parse(text);
  }

  async #stage({ name, updates }: Pick<StageState, "name" | "updates">): Promise<StageState> {
    const lines = await this.#log(name);
    const recent = lines.slice(-WINDOW);
    const mean = (of: "loss" | "ms") =>
      recent.length === 0 ? undefined : recent.reduce((sum, line) => sum + line[of], 0) /
        recent.length;
    return {
      name,
      updates,
      done: lines.at(-1)?.step ?? 0,
      loss: mean("loss"),
      msPerUpdate: mean("ms"),
      grids: await gridsIn(`${this.#folder(name)}/samples`),
    };
  }

  #log(stage: string): Promise<readonly LogLine[]> {
    const known = this.#logs.get(stage) ?? new LogTail(`${this.#folder(stage)}/log.jsonl`);
    this.#logs.set(stage, known);
    return known.read();
  }

  #folder(stage: string): string {
    return stage === "" ? this.path : `${this.path}/${stage}`;
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function gridsIn(folder: string): Promise<number[]> {
  const found: number[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const match = gridName.exec(name);
      if (match) found.push(Number(match[1]));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a - b);
}
