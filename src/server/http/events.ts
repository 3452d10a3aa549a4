/** Server-sent events: how they are written, and how many streams there may be. */
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { asProblem, Problem } from "../problem.ts";

export interface ServerEvent {
  readonly event: string;
  readonly data: unknown;
  readonly id?: string;
}

/** Milliseconds of silence after which a comment shows proxies that the stream is alive. */
const HEARTBEAT_MS = 15_000;

/** Milliseconds for the last event of a stream whose work was ended; then it is cut. */
const LAST_EVENT_MS = 1000;

/** Counts open streams: a reader that does not read holds a connection and a picture. */
export class OpenStreams {
  readonly #byClient = new Map<string, number>();
  #open = 0;

  constructor(readonly max: number) {}

  /** Streams that are open. */
  get open(): number {
    return this.#open;
  }

  /**
   * @param client whose share is looked at; without one only the whole counts
   * @returns what gives the place back; it may be called more than once
   * @throws Problem 429 or 503 where there are too many
   */
  enter(client?: string): () => void {
    const own = client === undefined ? 0 : this.#byClient.get(client) ?? 0;
    const share = Math.max(1, Math.floor(this.max / 8));
    if (own >= share) {
      throw new Problem(429, "rate_limited", `expected at most ${share} open streams a client`, {
        retryAfter: 5,
      });
    }
    if (this.#open >= this.max) {
      throw new Problem(503, "overloaded", `${this.max} event streams are open already`, {
        retryAfter: 5,
      });
    }
    this.#open++;
    if (client !== undefined) this.#byClient.set(client, own + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#open--;
      if (client === undefined) return;
      const others = this.#byClient.get(client)! - 1;
      if (others > 0) this.#byClient.set(client, others);
      else this.#byClient.delete(client);
    };
  }
}

export interface StreamOptions {
  /** Ends the work behind the events; a stream that is not read is cut soon after. */
  readonly controller: AbortController;
  /** Called once when nothing more is sent, for whatever reason. */
  readonly onEnd: () => void;
  readonly metrics: Metrics;
}

/** What every stream is answered with, to HEAD as well; no proxy is to keep or hold back any of it. */
export const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/** Events as an answer; they are pulled, so that an unread one is never written. */
export function eventStream(
  events: AsyncGenerator<ServerEvent, void>,
  { controller: work, onEnd, metrics }: StreamOptions,
): Response {
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<ServerEvent, void>> | undefined;
  let cut: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const end = () => {
    ended = true;
    clearTimeout(cut);
    onEnd();
  };
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      work.signal.addEventListener("abort", () => {
        if (ended) return;
        cut = setTimeout(() => {
          end();
          stream.error(work.signal.reason);
          events.return().catch(() => {});
        }, LAST_EVENT_MS);
      }, { once: true });
    },
    async pull(stream) {
      pending ??= events.next();
      const next = await raceHeartbeat(pending);
      if (next === undefined) return stream.enqueue(encoder.encode(": still here\n\n"));
      pending = undefined;
      if (!next.done) return stream.enqueue(encoder.encode(serialise(next.value)));
      end();
      stream.close();
      work.abort(new DOMException("the stream ended", "AbortError"));
    },
    cancel() {
      metrics.failures.inc({ reason: "disconnected" });
      end();
      work.abort(new DOMException("the client left", "AbortError"));
      events.return().catch(() => {});
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: STREAM_HEADERS });
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
