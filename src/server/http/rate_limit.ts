/** A token bucket a client, counted in network evaluations: what costs nothing is not limited. */
import { Problem } from "../problem.ts";

const MAX_CLIENTS = 10_000;

export class RateLimit {
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** @param now milliseconds; only differences matter */
  constructor(readonly costPerMinute: number, readonly now: () => number = () => Date.now()) {}

  /** @throws Problem 429 with Retry-After where the client has asked for more than its share */
  take(client: string, cost: number): void {
    if (cost === 0) return;
    const at = this.now();
    const bucket = this.#buckets.get(client) ?? { tokens: this.costPerMinute, at };
    const perMs = this.costPerMinute / 60_000;
    const tokens = Math.min(this.costPerMinute, bucket.tokens + (at - bucket.at) * perMs);
    this.#buckets.delete(client);
    this.#buckets.set(client, { tokens, at });
    if (tokens < Math.min(cost, this.costPerMinute)) {
      throw new Problem(
        429,
        "rate_limited",
        `expected at most ${this.costPerMinute} evaluations a minute without a key, found ` +
          `${cost} more with ${Math.floor(tokens)} left`,
        { retryAfter: (Math.min(cost, this.costPerMinute) - tokens) / perMs / 1000 },
      );
    }
    this.#buckets.set(client, { tokens: tokens - cost, at });
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= MAX_CLIENTS) break;
      this.#buckets.delete(oldest);
    }
  }
}
