/** Medians of things measured in turns, so that a busy moment is in all of them. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How long onnxruntime's threads may go on polling after a run. */
const SETTLE_MS = 30;

/** Median milliseconds of each contestant, after one run each that is not counted. */
export async function inTurns<K extends string>(
  contestants: Readonly<Record<K, () => Promise<unknown>>>,
  repeats: number,
): Promise<Record<K, number>> {
  const names = Object.keys(contestants) as K[];
  const times = new Map<K, number[]>(names.map((name) => [name, []]));
  for (let round = -1; round < repeats; round++) {
    for (const name of names) {
      const start = performance.now();
      await contestants[name]();
      if (round >= 0) times.get(name)!.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times.get(name)!)])) as Record<
    K,
    number
  >;
}

/** Prints rows as a Markdown table. */
export function printTable(title: string, rows: readonly Record<string, string | number>[]): void {
  console.log(`\n## ${title}`);
  if (rows.length === 0) return console.log("nothing to measure");
  const keys = Object.keys(rows[0]);
  console.log(`| ${keys.join(" | ")} |\n|${keys.map(() => "---|").join("")}`);
  for (const row of rows) console.log(`| ${keys.map((key) => row[key] ?? "").join(" | ")} |`);
}
