/// <reference lib="dom" />
/**
 * The playground: loads the weights beside the page into this browser and shows every step.
 * `?engine=wasm&seed=7&steps=8` presets the form.
 */
import {
  type Backend,
  DEFAULT,
  filesAt,
  InputError,
  load,
  type Model,
  sample,
  type SampleFrame,
  schedulers,
  toPixels,
} from "./library.ts";

type Engine = "wasm" | "webgpu";

const preset = new URLSearchParams(location.search);
const models = new Map<Engine, Promise<Model>>();
let running: AbortController | undefined;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id} on the page`);
  return found as T;
}

function option(value: string, text = value): HTMLOptionElement {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

function say(text: string): void {
  element("status").textContent = text;
}

/** A software adapter draws, but slower than WebAssembly. */
async function hasGpu(): Promise<boolean> {
  const gpu = (navigator as { gpu?: GPU }).gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !adapter.info?.isFallbackAdapter);
}

function modelOn(engine: Engine): Promise<Model> {
  const known = models.get(engine);
  if (known) return known;
  const opening = (async () => {
    const url = new URL(`engine_${engine}.js`, import.meta.url).href;
    const { backend } = await import(url) as { backend(): Promise<Backend> };
    return load(filesAt(new URL("weights/", import.meta.url)), { backend: await backend() });
  })();
  opening.catch(() => models.delete(engine));
  models.set(engine, opening);
  return opening;
}

function draw(id: string, x: Float32Array, shape: Model["shape"]): void {
  const { pixels, width, height, channels } = toPixels(x, shape);
  const canvas = element<HTMLCanvasElement>(id);
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) {
      image.data[p * 4 + c] = pixels[p * channels + (channels >= 3 ? c : 0)];
    }
    image.data[p * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function show({ step, steps, t, x, x_0 }: SampleFrame, model: Model): void {
  draw("x_t", x, model.shape);
  draw("x_0", x_0, model.shape);
  Object.assign(element<HTMLProgressElement>("progress"), { value: step, max: steps });
  say(`Step ${step} of ${steps}, t = ${Math.round(t)}`);
}

async function run(): Promise<void> {
  running?.abort();
  const { signal } = running = new AbortController();
  const value = (id: string) => element<HTMLInputElement>(id).value;
  const engine = value("engine") as Engine;
  try {
    say(engine === "webgpu" ? "Compiling for your GPU …" : "Loading the engine …");
    const model = await modelOn(engine);
    if (signal.aborted) return;
    const start = performance.now();
    const frames = sample(model, {
      seeds: [Number(value("seed"))],
      scheduler: value("scheduler"),
      steps: Number(value("steps")),
      labels: model.labels ? Number(value("label")) : undefined,
      signal,
    });
    for await (const frame of frames) {
      show(frame, model);
      // WebAssembly holds the thread: without a pause the page would show the last step only.
      await new Promise(requestAnimationFrame);
      if (!frame.done) continue;
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      say(`Seed ${frame.seed}: ${frame.steps} steps in ${seconds} s on ${engine}.`);
      document.body.dataset.done = `${frame.seed} ${engine}`;
    }
  } catch (error) {
    if (signal.aborted) return;
    say(`${error instanceof InputError ? error.message : `It failed: ${error}`}`);
    document.body.dataset.failed = String(error);
  }
}

async function start(): Promise<void> {
  const gpu = await hasGpu();
  const engines = element<HTMLSelectElement>("engine");
  if ("gpu" in navigator) engines.append(option("webgpu", "WebGPU"));
  engines.append(option("wasm", "WebAssembly"));
  engines.value = preset.get("engine") ?? (gpu ? "webgpu" : "wasm");
  const names = element<HTMLSelectElement>("scheduler");
  names.append(...Object.keys(schedulers).map((name) => option(name)));
  if (preset.has("seed")) element<HTMLInputElement>("seed").value = preset.get("seed")!;

  const model = await modelOn(engines.value as Engine);
  const { scheduler, steps } = model.recommended ?? DEFAULT;
  names.value = preset.get("scheduler") ?? scheduler;
  element<HTMLInputElement>("steps").value = preset.get("steps") ?? String(steps);
  const labels = model.labels ?? [];
  element("label-field").hidden = labels.length === 0;
  element<HTMLSelectElement>("label").append(
    ...labels.map((label, index) => option(String(index), label)),
  );
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  await run();
}

start().catch((error) => {
  say(`It failed: ${error}`);
  document.body.dataset.failed = String(error);
});
