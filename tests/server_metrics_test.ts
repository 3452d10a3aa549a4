/** The numbers that /metrics shows, as Prometheus reads them. */
import { assert, assertEquals } from "@std/assert";
import { Counter, Gauge, Histogram, Metrics } from "../src/server/metrics.ts";
import { reasons } from "../src/server/problem.ts";

Deno.test("a counter counts for each of its labels, in the order in which they were seen", () => {
  const counter = new Counter("things_total", "Things");
  assertEquals([[...counter.lines()], counter.value({ of: "a" })], [[], 0]);
  counter.inc({ of: "a" });
  counter.inc({ of: "b" }, 3);
  counter.inc({ of: "a" }, 2);
  counter.inc({ of: "c", by: "d" }, 0);
  assertEquals([...counter.lines()], [
    'things_total{of="a"} 3',
    'things_total{of="b"} 3',
    'things_total{of="c",by="d"} 0',
  ]);
  const plain = new Counter("all_total", "All");
  plain.inc();
  assertEquals([...plain.lines()], ["all_total 1"]);
});

Deno.test("whatever a label's value is, it stays one line and one value", () => {
  const counter = new Counter("c", "");
  for (const value of ['say "no"', "a\\b", "two\nlines"]) counter.inc({ value });
  assertEquals([...counter.lines()], [
    'c{value="say \\"no\\""} 1',
    'c{value="a\\\\b"} 1',
    'c{value="two\\nlines"} 1',
  ]);
});

Deno.test("a histogram's buckets count what is at most their bound, each those before it too", () => {
  const histogram = new Histogram("seconds", "", [1, 2.5]);
  for (const value of [0.5, 1, 1.5, 2.5, 2.6, 100]) histogram.observe({ route: "/" }, value);
  histogram.observe({}, 2);
  assertEquals([...histogram.lines()], [
    'seconds_bucket{route="/",le="1"} 2',
    'seconds_bucket{route="/",le="2.5"} 4',
    'seconds_bucket{route="/",le="+Inf"} 6',
    'seconds_sum{route="/"} 108.1',
    'seconds_count{route="/"} 6',
    'seconds_bucket{le="1"} 0',
    'seconds_bucket{le="2.5"} 1',
    'seconds_bucket{le="+Inf"} 1',
    "seconds_sum 2",
    "seconds_count 1",
  ]);
});

Deno.test("the text has help, type and samples of each metric, gauges as they are when they are asked", () => {
  const metrics = new Metrics();
  let queue = 1;
  metrics.gauges.push(
    new Gauge("queue", "In it", () => [[{ of: "x" }, queue], [{}, 2 * queue]]),
  );
  queue = 4;
  metrics.images.inc({ weights: "w" });
  const text = metrics.text();
  assert(text.endsWith('# HELP queue In it\n# TYPE queue gauge\nqueue{of="x"} 4\nqueue 8\n'));
  assert(text.includes("# TYPE denoise_images_total counter\n"), text);
  assert(text.includes('denoise_images_total{weights="w"} 1\n'));
  assert(text.includes("# TYPE denoise_batch_size histogram\n"));
  assert(!text.includes("\n\n"), "no empty lines");
  // A monitor sees a first failure only in a series that was there before it.
  for (const reason of reasons) {
    assert(text.includes(`denoise_failures_total{reason="${reason}"} 0\n`), reason);
  }
});
