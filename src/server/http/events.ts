/** Server-sent events, pulled: a reader that does not read holds its sampler up, nobody else's. */
import { asProblem } from "./failures.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

export interface ServerEvent {
  readonly event: string;
  readonly data: unknown;
  readonly id?: string;
}

/** Milliseconds of silence after which a comment shows proxies that the stream is alive. */
const HEARTBEAT_MS = 15_000;

/** @param onCancel called when the client leaves before the last event */
export function eventStream(
  events: AsyncGenerator<ServerEvent, void>,
  onCancel: () => void,
): Response {
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<ServerEvent, void>> | undefined;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      pending ??= events.next();
      const next = await raceHeartbeat(pending);
      if (next === undefined) return controller.enqueue(encoder.encode(": still here\n\n"));
      pending = undefined;
      if (next.done) controller.close();
      else controller.enqueue(encoder.encode(serialise(next.value)));
    },
    cancel() {
      onCancel();
      events.return().catch(() => {});
    },
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}

async function raceHeartbeat<T>(next: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), HEARTBEAT_MS);
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    clearTimeout(timer);
  }
}

function serialise({ event, data, id }: ServerEvent): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${text}\n\n`;
}

/** Ends the work of a stream whose reader has gone. */
export function clientLeft({ metrics }: { metrics: Metrics }, controller: AbortController): void {
  metrics.failures.inc({ reason: "disconnected" });
  controller.abort(new DOMException("the client left", "AbortError"));
}

/** The last event of a stream that failed after its status had been sent. */
export function errorEvent(
  { metrics, log }: { metrics: Metrics; log: Log },
  error: unknown,
  requestId?: string,
): ServerEvent {
  const problem = asProblem(error);
  if (problem.reason !== "disconnected") {
    metrics.failures.inc({ reason: problem.reason });
    const cause = problem.cause === undefined ? {} : { error: String(problem.cause) };
    log({ level: "warn", message: problem.message, reason: problem.reason, requestId, ...cause });
  }
  return { event: "error", id: "done", data: problem.document(requestId) };
}
