/** workerd, through miniflare: the Worker of deploy/cloudflare as the platform would run it. */
import { Miniflare } from "npm:miniflare@4.20260730.0";
import { buildWorker } from "../../deploy/cloudflare/build.ts";
import { peakMemory } from "./process.ts";
import { type Measured, median, pixelsAt, probeAddress, timePictures } from "./target.ts";

/** The platform kills an isolate at 128 MB; miniflare does not. */
export const MAX_MEMORY = 110e6;

/** Told by the measuring main module; the platform's has no such address. */
const MEMORY_ADDRESS = "_memory";

/** Counts the memory that WebAssembly takes, before the Worker's own modules run. */
const countMemory = `
const taken = [];
const Original = WebAssembly.Memory;
WebAssembly.Memory = class Memory extends Original {
  constructor(...args) { super(...args); taken.push(this); }
};
const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = async (source, imports) => {
  const made = await instantiate(source, imports);
  for (const value of Object.values((made.instance ?? made).exports)) {
    if (value instanceof Original) taken.push(value);
  }
  return made;
};
globalThis.wasmBytes = () => [...new Set(taken)].reduce((sum, m) => sum + m.buffer.byteLength, 0);
`;

const measuringMain = `
import "./count.js";
import worker from "./main.js";
export default {
  fetch(request, env, context) {
    if (new URL(request.url).pathname === "/${MEMORY_ADDRESS}") {
      return Response.json({ wasm: globalThis.wasmBytes() });
    }
    return worker.fetch(request, env, context);
  },
};
`;

export interface RunningWorker extends AsyncDisposable {
  readonly base: URL;
  /** Milliseconds from miniflare's start until it listens. */
  readonly started: number;
  /** Bytes of all modules. */
  readonly size: number;
  /** Bytes of WebAssembly memory; it never shrinks, so this is the peak. */
  wasmMemory(): Promise<number>;
  /** Bytes of the JavaScript heap with its array buffers, as V8's inspector tells. */
  heap(): Promise<number>;
  /** VmHWM of the workerd process, runtime included: an upper bound. */
  peak(): Promise<number>;
  /** CPU seconds of the workerd process so far. */
  cpu(): Promise<number>;
}

/** Builds the Worker, with a built-in's weights, into a folder and runs it. */
export async function runWorker(folder: URL, weights?: string): Promise<RunningWorker> {
  await buildWorker(folder, weights);
  const modules = await modulesIn(folder);
  const size = modules.reduce((sum, { contents }) => sum + contents.length, 0);
  const text = (path: string, contents: string) => ({ type: "ESModule" as const, path, contents });
  const before = await workerdPids();
  const start = performance.now();
  const miniflare = new Miniflare({
    modules: [text("measure.js", measuringMain), text("count.js", countMemory), ...modules],
    compatibilityDate: "2026-07-01",
    cache: true,
    port: 0,
    inspectorPort: 0,
  });
  const base = await miniflare.ready;
  const started = performance.now() - start;
  const [pid] = (await workerdPids()).filter((other) => !before.includes(other));
  return {
    base,
    started,
    size,
    async wasmMemory() {
      return (await (await fetch(new URL(MEMORY_ADDRESS, base))).json()).wasm;
    },
    async heap() {
      return heapUsage(await miniflare.getInspectorURL());
    },
    peak: () => peakMemory(pid),
    cpu: () => cpuSeconds(pid),
    [Symbol.asyncDispose]: () => miniflare.dispose(),
  };
}

async function modulesIn(folder: URL) {
  const types: Record<string, "ESModule" | "CompiledWasm" | "Data"> = {
    js: "ESModule",
    wasm: "CompiledWasm",
    bin: "Data",
  };
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return Promise.all(names.map(async (path) => ({
    type: types[path.split(".").at(-1)!],
    path,
    contents: await Deno.readFile(new URL(path, folder)),
  })));
}

/** The processes this one has started that are called workerd. */
async function workerdPids(): Promise<number[]> {
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => "");
    const [, command, parent] = /\((.*)\) \S (\d+)/.exec(stat) ?? [];
    if (command === "workerd" && Number(parent) === Deno.pid) pids.push(Number(name));
  }
  return pids;
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Clock ticks of user and system time, a hundredth of a second each on Linux.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function heapUsage(inspector: URL): Promise<number> {
  const list = new URL("/json", inspector.href.replace(/^ws/, "http"));
  const targets: { webSocketDebuggerUrl: string }[] = await (await fetch(list)).json();
  const socket = new WebSocket(targets[0].webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error(`${inspector}: no inspector`));
  });
  const reply = new Promise<Record<string, number>>((resolve) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.id === 1) resolve(message.result);
    };
  });
  socket.send(JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" }));
  const usage = await reply;
  socket.close();
  return usage.usedSize + (usage.embedderHeapUsedSize ?? 0) + (usage.backingStorageSize ?? 0);
}

/** Serves in workerd and measures. @throws Error where the memory budget is broken */
export async function measureCloudflare(): Promise<Measured> {
  const folder = new URL(`file://${await Deno.makeTempDir({ prefix: "denoise-worker-" })}/`);
  try {
    await using worker = await runWorker(new URL("dist/", folder));
    const startCpu = await worker.cpu();
    const first = performance.now();
    await pixelsAt(new URL("v1/images/0.png?steps=1", worker.base));
    const coldStart = worker.started + performance.now() - first;
    let heap = await worker.heap();
    const pixels = await pixelsAt(new URL(probeAddress, worker.base));

    const cpuBefore = await worker.cpu();
    const seconds = await timePictures(worker.base, 1000);
    const cpu = (await worker.cpu() - cpuBefore) / seconds.length;
    heap = Math.max(heap, await worker.heap());
    const wasm = await worker.wasmMemory();
    const bytes = wasm + heap;
    const peak = await worker.peak();
    if (bytes > MAX_MEMORY) throw new Error(`workerd: ${bytes} bytes, at most ${MAX_MEMORY}`);
    return {
      target: "workerd (Cloudflare)",
      coldStart,
      memory: { bytes, of: `wasm ${mega(wasm)} + JS ${mega(heap)}` },
      size: worker.size,
      secondsAnImage: median(seconds),
      pixels,
      notes: [
        `the whole workerd process at its peak ${mega(peak)}`,
        `CPU until it listens ${startCpu.toFixed(2)} s`,
        `CPU an image ${cpu.toFixed(2)} s`,
        `listens after ${Math.round(worker.started)} ms`,
      ],
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function mega(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
