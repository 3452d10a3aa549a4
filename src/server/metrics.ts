/**
 * Counters, gauges and histograms in Prometheus' text format. prom-client is not used because it
 * requires node:cluster and node:fs when it is imported, which the edge runtimes lack.
 */
import { reasons } from "./problem.ts";

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  lines(): Iterable<string>;
}

function key(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    return `${name}="${escaped}"`;
  });
  return pairs.length ? `{${pairs.join(",")}}` : "";
}

export class Counter implements Metric {
  readonly type = "counter";
  readonly #values = new Map<string, number>();
  constructor(readonly name: string, readonly help: string) {}

  inc(labels: Labels = {}, by = 1): void {
    const at = key(labels);
    this.#values.set(at, (this.#values.get(at) ?? 0) + by);
  }
  value(labels: Labels = {}): number {
    return this.#values.get(key(labels)) ?? 0;
  }
  *lines(): Iterable<string> {
    for (const [labels, value] of this.#values) yield `${this.name}${labels} ${value}`;
  }
}

/** A number that is looked up when it is asked for. */
export class Gauge implements Metric {
  readonly type = "gauge";
  constructor(
    readonly name: string,
    readonly help: string,
    readonly read: () => readonly (readonly [Labels, number])[],
  ) {}

  *lines(): Iterable<string> {
    for (const [labels, value] of this.read()) yield `${this.name}${key(labels)} ${value}`;
  }
}

export class Histogram implements Metric {
  readonly type = "histogram";
  readonly #series = new Map<string, { labels: Labels; counts: number[]; sum: number }>();
  constructor(readonly name: string, readonly help: string, readonly bounds: readonly number[]) {}

  observe(labels: Labels, value: number): void {
    const at = key(labels);
    const fresh = { labels, counts: new Array(this.bounds.length + 1).fill(0), sum: 0 };
    const series = this.#series.get(at) ?? fresh;
    this.#series.set(at, series);
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    series.counts[bucket < 0 ? this.bounds.length : bucket]++;
    series.sum += value;
  }
  *lines(): Iterable<string> {
    for (const [at, { labels, counts, sum }] of this.#series) {
      let total = 0;
      for (const [i, count] of counts.entries()) {
        total += count;
        const le = String(this.bounds[i] ?? "+Inf");
        yield `${this.name}_bucket${key({ ...labels, le })} ${total}`;
      }
      yield `${this.name}_sum${at} ${sum}`;
      yield `${this.name}_count${at} ${total}`;
    }
  }
}

/** Everything that `/metrics` shows. */
export class Metrics {
  readonly requests = new Counter("denoise_http_requests_total", "Requests by route and status");
  readonly failures = new Counter("denoise_failures_total", "Requests that failed, by reason");
  readonly images = new Counter("denoise_images_total", "Pictures made, by weights");
  readonly hits = new Counter(
    "denoise_reused_total",
    "Pictures not made: not_modified, cache, or joined to the same picture in flight",
  );
  readonly evaluations = new Counter("denoise_evaluations_total", "Network evaluations");
  readonly retried = new Counter(
    "denoise_retried_total",
    "Evaluations that failed and were asked again",
  );
  readonly reopened = new Counter("denoise_reopened_total", "Networks opened again after a crash");
  readonly batch = new Histogram(
    "denoise_batch_size",
    "Images in one network evaluation",
    [1, 2, 4, 8, 12, 16, 24, 32, 64],
  );
  readonly stepSeconds = new Histogram(
    "denoise_evaluation_seconds",
    "Time of one network evaluation",
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  );
  readonly requestSeconds = new Histogram(
    "denoise_http_request_seconds",
    "Time from a request to its response's headers, by route",
    [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  );
  readonly gauges: Gauge[] = [];

  constructor() {
    // A series that is there before its first event lets a monitor see that event.
    for (const reason of reasons) this.failures.inc({ reason }, 0);
  }

  /** The text exposition, version 0.0.4. */
  text(): string {
    const all: Metric[] = [
      ...Object.values(this).filter((metric) => !Array.isArray(metric)) as Metric[],
      ...this.gauges,
    ];
    return all.map(({ name, help, type, lines }, i) =>
      [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines.call(all[i])].join("\n") + "\n"
    ).join("");
  }
}
