/** A graph in the engine's memory: planned, loaded and run. */
import type { Graph } from "../graph/mod.ts";
import { batchDimension, type Fed, sizesOf } from "./feeds.ts";
import { pagesFor, type PlacedPlan, placePlan, placeWeights } from "./layout.ts";
import { type NumberSource, packWeights, stagingFor } from "./pack.ts";
import { type Plan, planGraph } from "./plan/plan.ts";
import { product, roundUp } from "./plan/view.ts";
import { WeightStore } from "./plan/weights.ts";

/** Who carries out commands: this thread, or a team of workers. */
export interface Crew {
  readonly threads: number;
  /** Whether the memory has to be one that threads share. */
  readonly shared: boolean;
  /** Takes a memory; commands in it can be run from then on. */
  open(memory: WebAssembly.Memory): Promise<CrewMemory>;
}

/** One memory in the hands of a crew. */
export interface CrewMemory {
  /** Carries out the commands from an address on. */
  run(at: number): Promise<void>;
  /** Resolves when commands may be written over: a thread may be behind with those of a run that is over. */
  settle(): Promise<void>;
  close(): void;
}

export interface EngineOptions {
  /** Intermediate results of a batch take this much memory at most, if one picture's do. */
  readonly arenaBytes: number;
  /**
   * Where weights would take more bytes than this, those of 3×3 convolutions stay as small as they are
   * stored, those that 16-bit floats hold exactly in 16 bits, and are transformed whenever they are used:
   * same bits, less memory, more work.
   */
  readonly compactAbove?: number;
}

/** The most pictures that are computed at once; larger batches go in parts. */
const MOST_AT_ONCE = 16;

export class EngineSession {
  readonly #plans = new Map<string, PlacedPlan>();
  #memory: WebAssembly.Memory;
  #opened: CrewMemory;
  #loaded: PlacedPlan | undefined;

  private constructor(
    readonly graph: Graph,
    readonly crew: Crew,
    readonly store: WeightStore,
    /** Where the weights end. */
    readonly base: number,
    readonly batch: { readonly name: string; readonly most: number } | undefined,
    memory: WebAssembly.Memory,
    opened: CrewMemory,
  ) {
    this.#memory = memory;
    this.#opened = opened;
  }

  /**
   * Plans a graph, takes memory and loads the weights.
   * @throws UnsupportedGraph for what there is no kernel for
   */
  static async load(
    graph: Graph,
    numbers: NumberSource,
    crew: Crew,
    { arenaBytes, compactAbove = Infinity }: EngineOptions,
  ): Promise<EngineSession> {
    let store = new WeightStore();
    const names = graph.values.flatMap(({ shape }) => shape.filter((d) => typeof d === "string"));
    const plan = (n: number): Plan =>
      planGraph(graph, {
        weights: store,
        sizes: new Map(names.map((name) => [name, n])),
        threads: crew.threads,
      });
    let one = plan(1);
    if (store.bytes > compactAbove) {
      store = new WeightStore((value) => numbers.fitsHalf(value));
      one = plan(1);
    }
    const name = batchDimension(graph);
    const most = Math.max(
      1,
      Math.min(MOST_AT_ONCE, Math.floor(arenaBytes / Math.max(1, one.arenaBytes))),
    );
    const largest = name === undefined || most === 1 ? one : plan(most);
    const base = placeWeights(store);
    // A memory that no other thread holds grows when a batch needs it.
    const end = Math.max(
      crew.shared ? placePlan(largest, base, crew.threads).end : 0,
      placePlan(one, base, crew.threads).end,
      base + stagingFor(store),
    );
    const memory = memoryOf(end, crew.shared);
    const opened = await crew.open(memory);
    const room = { from: base, to: memory.buffer.byteLength };
    try {
      await packWeights(store, numbers, memory, room, opened);
    } catch (error) {
      opened.close();
      throw error;
    }
    return new EngineSession(
      graph,
      crew,
      store,
      base,
      name ? { name, most } : undefined,
      memory,
      opened,
    );
  }

  /** Bytes of memory that are addressed; what was never touched takes none. */
  get bytes(): number {
    return this.#memory.buffer.byteLength;
  }

  /** One evaluation; feeds are checked to have the graph's names and as many elements as they say. */
  async run(feeds: Readonly<Record<string, Fed>>): Promise<Record<string, Fed>> {
    const sizes = sizesOf(this.graph, feeds);
    const { batch } = this;
    const n = batch && sizes.get(batch.name)!;
    if (!batch || n === undefined || n <= batch.most) return await this.#evaluate(feeds, sizes);
    const parts: Record<string, Fed>[] = [];
    for (let at = 0; at < n; at += batch.most) {
      const count = Math.min(batch.most, n - at);
      const part = Object.fromEntries(
        Object.entries(feeds).map(([name, fed]) => [name, partOf(fed, at, count)]),
      );
      parts.push(await this.#evaluate(part, new Map([[batch.name, count]])));
    }
    return Object.fromEntries(
      Object.keys(parts[0]).map((name) => [name, joined(parts.map((part) => part[name]))]),
    );
  }

  close(): void {
    this.#opened.close();
  }

  async #evaluate(
    feeds: Readonly<Record<string, Fed>>,
    sizes: ReadonlyMap<string, number>,
  ): Promise<Record<string, Fed>> {
    const placed = this.#planFor(sizes);
    const { plan } = placed;
    for (const [name, limit] of plan.limits) {
      const indices = feeds[name].data as Int32Array;
      const wrong = indices.find((index) => index < 0 || index >= limit);
      if (wrong !== undefined) {
        throw new Error(`input "${name}" has the index ${wrong}, the table has ${limit} rows`);
      }
    }
    await this.#load(placed);
    const { buffer } = this.#memory;
    for (const [name, { buffer: { address } }] of plan.inputs) {
      const { data } = feeds[name];
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      new Uint8Array(buffer, address, bytes.length).set(bytes);
    }
    await this.#opened.run(placed.at);
    const results: Record<string, Fed> = {};
    for (const name of this.graph.outputs.keys()) {
      const passed = plan.passed.get(name);
      if (passed !== undefined) {
        const { data, dims } = feeds[passed];
        results[name] = { data: data.slice(), dims: [...dims] };
        continue;
      }
      const { dims, offset, buffer: { address } } = plan.outputs.get(name)!;
      const data = new Float32Array(product(dims));
      data.set(new Float32Array(this.#memory.buffer, address + 4 * offset, data.length));
      results[name] = { data, dims };
    }
    return results;
  }

  #planFor(sizes: ReadonlyMap<string, number>): PlacedPlan {
    const key = [...sizes].join();
    const existing = this.#plans.get(key);
    if (existing) return existing;
    const { graph, store, crew, base } = this;
    const plan = planGraph(graph, { weights: store, sizes, threads: crew.threads });
    const placed = placePlan(plan, base, crew.threads);
    this.#plans.set(key, placed);
    return placed;
  }

  /** Has the memory hold a plan's commands, and be large enough for it. */
  async #load(placed: PlacedPlan): Promise<void> {
    if (placed.end > this.#memory.buffer.byteLength) await this.#enlarge(placed.end);
    if (this.#loaded === placed) return;
    await this.#opened.settle();
    new Int32Array(this.#memory.buffer, placed.at, placed.commands.length).set(placed.commands);
    this.#loaded = placed;
  }

  /** Grows the memory, or moves the weights to a larger one: a shared one must not grow while threads hold it. */
  async #enlarge(bytes: number): Promise<void> {
    if (!this.crew.shared) return grow(this.#memory, bytes);
    const memory = memoryOf(bytes, this.crew.shared);
    new Uint8Array(memory.buffer).set(new Uint8Array(this.#memory.buffer, 0, this.base));
    const opened = await this.crew.open(memory);
    this.#opened.close();
    this.#memory = memory;
    this.#opened = opened;
  }
}

/** The most pages that WebAssembly has. */
const MOST_PAGES = 65536;

function memoryOf(bytes: number, shared: boolean): WebAssembly.Memory {
  return taken(bytes, (pages) => {
    return new WebAssembly.Memory({ initial: pages, maximum: shared ? pages : MOST_PAGES, shared });
  });
}

function grow(memory: WebAssembly.Memory, bytes: number): void {
  taken(bytes, (pages) => memory.grow(pages - pagesFor(memory.buffer.byteLength)));
}

function taken<T>(bytes: number, take: (pages: number) => T): T {
  const pages = pagesFor(bytes);
  if (pages > MOST_PAGES) {
    throw new Error(`the network needs ${(bytes / 2 ** 30).toFixed(1)} GiB, WebAssembly has 4`);
  }
  try {
    return take(pages);
  } catch (cause) {
    throw new Error(`no memory of ${roundUp(bytes / 2 ** 20, 1)} MiB was given`, { cause });
  }
}

function partOf({ data, dims }: Fed, at: number, count: number): Fed {
  const size = dims.slice(1).reduce((a, b) => a * b, 1);
  return { data: data.subarray(at * size, (at + count) * size), dims: [count, ...dims.slice(1)] };
}

function joined(parts: readonly Fed[]): Fed {
  const [{ data: first, dims }] = parts;
  const length = parts.reduce((n, { data }) => n + data.length, 0);
  const data = new (first.constructor as Float32ArrayConstructor)(length);
  let at = 0;
  for (const part of parts) {
    data.set(part.data as Float32Array, at);
    at += part.data.length;
  }
  const count = parts.reduce((n, part) => n + part.dims[0], 0);
  return { data, dims: [count, ...dims.slice(1)] };
}
