/** Structured logs: one object an event; `serve` prints them as JSON lines. */
export interface LogEntry {
  /** How bad it is. */
  readonly level: "info" | "warn" | "error";
  /** What happened. */
  readonly message: string;
  /** Whatever else is known: `requestId`, `status`, `milliseconds`, `error` … */
  readonly [field: string]: unknown;
}

/** Takes one entry; must not throw. */
export type Log = (entry: LogEntry) => void;
