/** Where a bulk run's pictures go, one at a time. */
import { InputError } from "../../errors.ts";
import type { Picture } from "../../sampling/pictures.ts";
import { writeWhole } from "../../files/atomic_write.ts";

export interface Sink {
  /** What to call it. */
  readonly path: string;
  /** Indices into the request's jobs of the pictures that are not there yet, ascending. */
  readonly missing: readonly number[];
  /** Takes the picture of a job; they come in nearly the order of `missing`. */
  put(index: number, picture: Picture): Promise<void>;
  /** Everything has been put. */
  finish(): Promise<void>;
  /** Frees what is open; what was put stays for a later run to go on with. */
  close(): void;
}

export interface SinkOptions {
  /** Go on with what an earlier run of the same request left. */
  readonly resume: boolean;
  /** Put new files in place of those that are there. */
  readonly force: boolean;
}

/** A file that could not be written, with the system's reason. */
export class WriteError extends InputError {
  override name = "WriteError";

  constructor(readonly path: string, cause: unknown) {
    super(`${path}: cannot be written (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    });
  }
}

/** @throws WriteError in place of what the system said. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new WriteError(path, error);
  }
}

/** Writes a file so that it is there whole or not at all. The next run overwrites what one leaves. */
export async function writePart(
  path: string,
  content: Parameters<typeof writeWhole>[1],
): Promise<void> {
  await writing(path, () => writeWhole(path, content, `${path}.part`));
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
