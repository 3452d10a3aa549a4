/** A bulk run: from jobs to files, each written as soon as it is made. */
import type { Io } from "../io.ts";
import { Progress } from "../progress.ts";
import { pictureOfFrame } from "../../sampling/pictures.ts";
import { sample } from "../../sampling/sample.ts";
import { openFolder } from "./folder_sink.ts";
import { openNpz } from "./npz_sink.ts";
import type { BulkRequest } from "./request.ts";
import { type Sink, type SinkOptions, WriteError } from "./sink.ts";

export interface BulkTarget extends SinkOptions {
  readonly path: string;
  readonly kind: "folder" | "npz";
}

export interface BulkResult {
  readonly made: number;
  /** Pictures that an earlier run had made. */
  readonly kept: number;
}

/**
 * Makes a shard's pictures that are not there yet. Memory does not grow with their number, and what
 * a picture looks like depends neither on the shard nor on what was there before.
 * @throws WriteError saying how many pictures are safe
 */
export async function runBulk(
  request: BulkRequest,
  target: BulkTarget,
  io: Io,
): Promise<BulkResult> {
  const open = target.kind === "folder" ? openFolder : openNpz;
  const sink = await open(target.path, request, target);
  const total = request.jobs.length;
  let made = 0;
  try {
    await fill(sink, request, io, () => made++);
    await sink.finish();
  } catch (error) {
    if (error instanceof WriteError) throw safeSoFar(error, sink, total, made);
    throw error;
  } finally {
    sink.close();
  }
  return { made, kept: total - sink.missing.length };
}

/** Makes and puts what is missing; `placed` is called for each picture that is in its place. */
async function fill(
  sink: Sink,
  { network, options, jobs }: BulkRequest,
  io: Io,
  placed: () => void,
): Promise<void> {
  const { missing } = sink;
  if (missing.length === 0) return;
  const todo = missing.map((index) => jobs[index]);
  const asked = {
    ...options,
    seeds: todo.map(({ seed }) => seed),
    labels: todo[0].label === undefined ? undefined : todo.map(({ label }) => label!),
    mix: todo.map(({ mix }) => mix),
  };
  let steps = 0;
  let progress: Progress | undefined;
  try {
    for await (const frame of sample(network, asked)) {
      progress ??= new Progress(io, todo.length * frame.steps, todo.length, "images");
      progress.update(++steps);
      if (!frame.done) continue;
      await sink.put(missing[frame.index], pictureOfFrame(frame, network.shape));
      placed();
    }
  } finally {
    progress?.end();
  }
}

function safeSoFar(error: WriteError, sink: Sink, total: number, made: number): WriteError {
  const safe = total - sink.missing.length + made;
  error.message +=
    `; ${safe} of ${total} pictures are safe in ${sink.path}, the same command with --resume makes the rest`;
  return error;
}
