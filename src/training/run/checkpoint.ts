/** The training state on disc: one safetensors file a checkpoint, so that it is whole or absent. */
import { InputError } from "../../errors.ts";
import { parseSafetensors, writeSafetensors } from "../../files/safetensors.ts";
import { writeDurably } from "../../files/atomic_write.ts";
import type { TrainState } from "../optimiser/layout.ts";

export interface Checkpoint {
  /** Updates that were carried out. */
  readonly step: number;
  readonly state: TrainState;
}

const vectors = ["theta", "m", "v", "ema"] as const;
const pattern = /^step-(\d{8})\.safetensors$/;

/** The same state gives the same bytes. */
export function encodeCheckpoint({ step, state }: Checkpoint): Uint8Array {
  const tensors = new Map(
    vectors.map((name) => [name, { shape: [state[name].length], data: state[name] }]),
  );
  return writeSafetensors(tensors, { metadata: { step: String(step) } });
}

/** @throws InputError for a file that is no checkpoint, or of another network */
function decodeCheckpoint(bytes: Uint8Array, size: number, where: string): Checkpoint {
  const { tensors, metadata } = parseSafetensors(bytes, where);
  const step = Number(metadata.step);
  if (!Number.isInteger(step) || step < 0) {
    throw new InputError(`${where}: expected a checkpoint with its step, found none`);
  }
  const vector = (name: typeof vectors[number]) => {
    const data = tensors.get(name)?.data;
    if (data?.length === size) return data;
    throw new InputError(
      `${where}: the recipe's network has ${size} parameters, "${name}" has ${
        data?.length ?? "none"
      }`,
    );
  };
  const [theta, m, v, ema] = vectors.map(vector);
  return { step, state: { theta, m, v, ema } };
}

/** A run's checkpoints, in a folder of their own. */
export class Checkpoints {
  constructor(readonly folder: string, readonly keep: number) {}

  async save(checkpoint: Checkpoint): Promise<string> {
    await Deno.mkdir(this.folder, { recursive: true });
    await this.#removeParts();
    const path = this.#path(checkpoint.step);
    await writeDurably(path, encodeCheckpoint(checkpoint));
    for (const step of (await this.steps()).slice(0, -this.keep)) {
      await Deno.remove(this.#path(step));
    }
    return path;
  }

  /** What a killed process had begun to write. */
  async #removeParts(): Promise<void> {
    for await (const { name } of Deno.readDir(this.folder)) {
      if (name.endsWith(".part")) await Deno.remove(`${this.folder}/${name}`);
    }
  }

  /**
   * The newest one, or undefined where there is none.
   * @throws InputError where it is damaged: whether to lose what came after the one before is not
   * decided here
   */
  async newest(size: number): Promise<Checkpoint | undefined> {
    const steps = await this.steps();
    if (steps.length === 0) return undefined;
    const path = this.#path(steps.at(-1)!);
    const before = steps.at(-2);
    const hint = before === undefined ? "" : `; without this file the run goes on after ${before}`;
    try {
      return decodeCheckpoint(await Deno.readFile(path), size, path);
    } catch (error) {
      const { message } = error as Error;
      throw new InputError(
        error instanceof InputError
          ? `${message}${hint}`
          : `${path}: cannot be read (${message}); nothing was changed${hint}`,
      );
    }
  }

  /** The steps there are checkpoints of, ascending. */
  async steps(): Promise<number[]> {
    const found: number[] = [];
    try {
      for await (const { name } of Deno.readDir(this.folder)) {
        const match = pattern.exec(name);
        if (match) found.push(Number(match[1]));
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw new InputError(
          `${this.folder}: cannot be read (${(error as Error).message}); nothing was changed`,
        );
      }
    }
    return found.sort((a, b) => a - b);
  }

  #path(step: number): string {
    return `${this.folder}/step-${String(step).padStart(8, "0")}.safetensors`;
  }
}
