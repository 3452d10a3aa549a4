/** Requests of the load benchmark, and what came of them. */

/** What came of one request. */
export interface Answer {
  /** undefined for a picture, else why there is none. */
  readonly failure?: string;
  /** From when the request was due to the last byte of its answer. */
  readonly milliseconds: number;
  readonly body: Uint8Array;
}

/** The addresses of one run, relative to the server's. */
export type Requests = readonly string[];

/** One request after another. */
export async function oneAfterAnother(base: URL, requests: Requests): Promise<Answer[]> {
  const answers = [];
  for (const path of requests) answers.push(await ask(new URL(path, base), performance.now()));
  return answers;
}

/**
 * An open loop: every `interval` milliseconds each of `clients` sends its next request, whether or not
 * the one before is answered, so that a slow server cannot slow its own load down.
 */
export async function openLoop(
  base: URL,
  requests: Requests,
  { clients, interval }: { clients: number; interval: number },
): Promise<Answer[]> {
  const begin = performance.now();
  return await Promise.all(requests.map(async (path, i) => {
    const due = begin + Math.floor(i / clients) * interval;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    return await ask(new URL(path, base), due);
  }));
}

async function ask(address: URL, due: number): Promise<Answer> {
  try {
    const response = await fetch(address);
    const body = await response.bytes();
    const milliseconds = performance.now() - due;
    return response.ok
      ? { milliseconds, body }
      : { failure: reasonOf(response, body), milliseconds, body };
  } catch (error) {
    const milliseconds = performance.now() - due;
    return { failure: (error as Error).message, milliseconds, body: new Uint8Array() };
  }
}

/** The code in a problem document, as in the server's `denoise_failures_total`. */
function reasonOf({ status }: Response, body: Uint8Array): string {
  try {
    return JSON.parse(new TextDecoder().decode(body)).error.code;
  } catch {
    return `status ${status}`;
  }
}

/** Milliseconds that /livez takes, asked again and again while `work` goes on. */
export async function livezDuring<T>(
  base: URL,
  work: Promise<T>,
): Promise<{ value: T; livez: number[] }> {
  let over = false;
  const ended = work.finally(() => over = true);
  const livez: number[] = [];
  while (!over) {
    const begin = performance.now();
    await (await fetch(new URL("livez", base))).text();
    livez.push(performance.now() - begin);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { value: await ended, livez };
}

/** How many network evaluations had how many images, by the server's histogram. */
export class BatchSizes {
  private constructor(readonly buckets: ReadonlyMap<string, number>, readonly images: number) {}

  static async read(base: URL): Promise<BatchSizes> {
    const text = await (await fetch(new URL("metrics", base))).text();
    const lines = text.matchAll(/^denoise_batch_size_bucket\{.*le="([^"]+)"\} (\d+)$/gm);
    const images = Number(/^denoise_batch_size_sum\{.*\} (\d+)$/m.exec(text)?.[1] ?? 0);
    return new BatchSizes(new Map([...lines].map(([, le, n]) => [le, Number(n)])), images);
  }

  /** Images in one evaluation on average, and evaluations by their size, since `before`. */
  since(before: BatchSizes): { mean: number; histogram: string } {
    let [below, upTo] = [0, 0];
    let [from, parts]: [number, string[]] = [1, []];
    for (const [le, count] of this.buckets) {
      upTo = count - (before.buckets.get(le) ?? 0);
      const sizes = Number(le) > from ? `${from}–${le}` : le;
      if (upTo > below) parts.push(`${sizes}: ${upTo - below}`);
      below = upTo;
      from = Number(le) + 1;
    }
    return { mean: (this.images - before.images) / upTo, histogram: parts.join(", ") };
  }
}
