/// <reference lib="dom" />
/**
 * The playground: loads the weights beside the page into this browser and shows every step.
 * `?engine=simd&seed=7&steps=8&label=3&guidance=2` presets the form.
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

type Engine = "simd" | "webgpu";

const preset = new URLSearchParams(location.search);
const models = new Map<Engine, Promise<Model>>();
let running: AbortController | undefined;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id} on the page`);
  return found as T;
}

const input = (id: string) => element<HTMLInputElement>(id);
const select = (id: string) => element<HTMLSelectElement>(id);

function option(value: string, text = value): HTMLOptionElement {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

/** @param aloud whether a screen reader says it, too: not at each step */
function say(text: string, aloud = true): void {
  element("status").textContent = text;
  if (aloud) element("said").textContent = text;
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
  progress({ value: step, max: steps });
  say(`Step ${step} of ${steps}, t = ${Math.round(t)}`, false);
}

/** How far, in steps; nothing while it cannot be told. */
function progress(state?: { value: number; max: number }): void {
  const bar = element<HTMLProgressElement>("progress");
  if (state) Object.assign(bar, state);
  else bar.removeAttribute("value");
}

async function run(): Promise<void> {
  running?.abort();
  const { signal } = running = new AbortController();
  const engine = select("engine").value as Engine;
  try {
    progress();
    say(engine === "webgpu" ? "Compiling for your GPU …" : "Loading the weights and the engine …");
    const model = await modelOn(engine);
    if (signal.aborted) return;
    fill(model);
    if (!element<HTMLFormElement>("form").reportValidity()) return;
    const start = performance.now();
    const label = select("label").value;
    const frames = sample(model, {
      seeds: [Number(input("seed").value)],
      scheduler: select("scheduler").value,
      steps: Number(input("steps").value),
      labels: model.labels && label !== "" ? Number(label) : undefined,
      guidance: model.nullLabel === undefined ? undefined : Number(input("guidance").value),
      signal,
    });
    for await (const frame of frames) {
      show(frame, model);
      if (!frame.done) continue;
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      const of = frame.label === undefined ? "" : `, class ${model.labels![frame.label]}`;
      say(`Seed ${frame.seed}${of}: ${frame.steps} steps in ${seconds} s on ${engine}.`);
      document.body.dataset.done = `${frame.seed} ${engine}`;
    }
  } catch (error) {
    if (signal.aborted) return;
    progress({ value: 0, max: 1 });
    say(`${error instanceof InputError ? error.message : `It failed: ${error}`}`);
    document.body.dataset.failed = String(error);
  }
}

let filled = false;

/** What only the weights know: classes, and what they recommend where nothing was chosen. */
function fill(model: Model): void {
  if (filled) return;
  filled = true;
  const { scheduler, steps, guidance = 1 } = model.recommended ?? { ...DEFAULT, guidance: 1 };
  select("scheduler").value = preset.get("scheduler") ?? scheduler;
  input("steps").value ||= String(steps);
  input("steps").max = String(model.distilled?.steps ?? model.scheduler.num_train_timesteps);
  input("guidance").value ||= String(guidance);
  element("guidance-field").hidden = model.nullLabel === undefined;
  const labels = model.labels ?? [];
  element("label-field").hidden = labels.length === 0;
  select("label").append(
    option("", `the seed's: seed mod ${labels.length}`),
    ...labels.map((label, index) => option(String(index), label)),
  );
  const label = preset.get("label") ?? "";
  const named = labels.indexOf(label);
  select("label").value = named >= 0 ? String(named) : label;
  if (select("label").selectedIndex < 0) select("label").value = "";
}

async function start(): Promise<void> {
  // Before anything is loaded: a form without it would load the page again.
  element("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  select("scheduler").append(...Object.keys(schedulers).map((name) => option(name)));
  for (const id of ["seed", "steps", "guidance"]) {
    if (preset.get(id)) input(id).value = preset.get(id)!;
  }
  select("engine").append(option("simd", "WebAssembly"));
  const gpu = await hasGpu();
  if ("gpu" in navigator) select("engine").prepend(option("webgpu", "WebGPU"));
  // Who pressed the button meanwhile has started it.
  if (running) return;
  const usual = gpu ? "webgpu" : "simd";
  select("engine").value = preset.get("engine") ?? usual;
  if (select("engine").selectedIndex < 0) select("engine").value = usual;
  await run();
}

start().catch((error) => {
  say(`It failed: ${error}`);
  document.body.dataset.failed = String(error);
});
