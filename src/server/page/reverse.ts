/// <reference lib="dom" />
/** Watching a seed's reverse process, live and afterwards step by step. */
import { button, canvas, detailOf, element, input, output, show, speak } from "./dom.ts";

interface StepEvent {
  readonly step: number;
  readonly steps: number;
  readonly t: number;
  readonly preview: string;
  readonly x_t: string;
}

interface DoneEvent {
  readonly seed: number;
  readonly scheduler: string;
  readonly steps: number;
  readonly label?: string;
  readonly address: string;
  readonly image: string;
}

/** Moments in the strip. */
const MOMENTS = 10;

export interface ReverseOptions {
  /** Told when a picture is begun. */
  onStart(): void;
  /** Told when nothing is being made any more, whether it was finished or not. */
  onEnd(): void;
  /** Told when a picture is done, with its PNG. */
  onDone(picture: Blob): void;
  /** Asked to noise the finished picture. */
  onUse(picture: Blob): void;
  /** Asked to take a piece of it away. */
  onRepair(picture: Blob): void;
}

export class Reverse {
  #events?: EventSource;
  #frames: { event: StepEvent; x_t: ImageBitmap; x_0: ImageBitmap }[] = [];
  #finished?: Blob;

  constructor(readonly options: ReverseOptions) {
    input("step").addEventListener("input", () => {
      // What is not made yet cannot be looked at.
      this.#show(Math.min(Number(input("step").value), this.#frames.length - 1));
    });
    button("use").addEventListener("click", () => {
      if (this.#finished) options.onUse(this.#finished);
    });
    button("tear").addEventListener("click", () => {
      if (this.#finished) options.onRepair(this.#finished);
    });
  }

  /** Starts a seed; what was running is given up. */
  start(seed: string, parameters: URLSearchParams): void {
    this.#events?.close();
    this.#forget();
    this.options.onStart();
    this.#finished = undefined;
    canvas("strip").width = 0;
    show("picture-link", false);
    show("use", false);
    show("tear", false);
    const step = input("step");
    step.disabled = true;
    step.value = step.max = "0";
    this.#say("waiting for the network …");
    speak(`Denoising ${seed}`);
    const address = new URL(`v1/images/${encodeURIComponent(seed)}/events`, document.baseURI);
    for (const [name, value] of parameters) address.searchParams.set(name, value);
    address.searchParams.set("preview", "both");
    const events = this.#events = new EventSource(address);
    // Frames decode one after another, in the order they came.
    let decoded = Promise.resolve();
    const inOrder = (work: () => Promise<void> | void) => {
      decoded = decoded.then(() => events === this.#events ? work() : undefined)
        .catch((error) => this.#fail(String(error)));
    };
    events.addEventListener("step", ({ data }) => inOrder(() => this.#step(JSON.parse(data))));
    events.addEventListener("done", ({ data }) => {
      events.close();
      inOrder(() => this.#done(JSON.parse(data)));
    });
    events.addEventListener("error", (event) => {
      events.close();
      const { data } = event as MessageEvent<string | undefined>;
      if (data) this.#fail(JSON.parse(data).detail);
      else this.#explain(address, events);
    });
  }

  #forget(): void {
    for (const { x_t, x_0 } of this.#frames) {
      x_t.close();
      x_0.close();
    }
    this.#frames = [];
  }

  async #step(event: StepEvent): Promise<void> {
    const [x_t, x_0] = await Promise.all([event.x_t, event.preview].map(bitmap));
    this.#frames.push({ event, x_t, x_0 });
    addToStrip(x_t, event);
    const last = this.#frames.length - 1;
    const step = input("step");
    const following = last === 0 || Number(step.value) === last - 1;
    // As long as the whole run: its right end is x_0, which is not reached before the last step.
    step.max = String(Math.max(event.steps - 1, last));
    step.disabled = false;
    if (following) this.#show(last);
  }

  #show(index: number): void {
    input("step").value = String(index);
    this.#draw(index);
  }

  #draw(index: number): void {
    const frame = this.#frames[index];
    if (!frame) return;
    paint(canvas("x-t"), frame.x_t);
    paint(canvas("x-0"), frame.x_0);
    const { step, steps, t } = frame.event;
    const time = Number.isInteger(t) ? t : t.toFixed(1);
    const text = `step ${step} of ${steps}, t = ${time}`;
    input("step").setAttribute("aria-valuetext", text);
    this.#say(text);
  }

  async #done({ address, image, seed, label, scheduler, steps }: DoneEvent): Promise<void> {
    this.#finished = await (await fetchData(image)).blob();
    const link = element("picture-link", HTMLAnchorElement);
    link.href = `${address}&scale=8`;
    show("picture-link", true);
    show("use", true);
    show("tear", true);
    input("step").max = String(this.#frames.length - 1);
    const of = label === undefined ? "" : `, label ${label}`;
    const text = `seed ${seed}${of}: ${scheduler}, ${steps} steps`;
    this.#say(text);
    speak(`Done: ${text}`);
    this.options.onDone(this.#finished);
    this.options.onEnd();
  }

  /** An EventSource does not tell why it failed; the same address by fetch does. */
  async #explain(address: URL, events: EventSource): Promise<void> {
    const reason = await reasonOf(address);
    if (events === this.#events) this.#fail(reason);
  }

  #say(text: string): void {
    output("status").classList.remove("error");
    output("status").textContent = text;
  }

  #fail(text: string): void {
    output("status").classList.add("error");
    output("status").textContent = text;
    speak(text);
    this.options.onEnd();
  }
}

/** Why an address gives no events. */
async function reasonOf(address: URL): Promise<string> {
  try {
    const response = await fetch(address);
    if (!response.ok) return await detailOf(response);
    await response.body?.cancel();
    return "the connection broke; try again";
  } catch {
    return "the server cannot be reached";
  }
}

/** A data: address as a response, without asking the network (and its security policy). */
function fetchData(address: string): Response {
  const bytes = Uint8Array.from(atob(address.split(",")[1]), (c) => c.charCodeAt(0));
  return new Response(bytes, { headers: { "content-type": "image/png" } });
}

async function bitmap(address: string): Promise<ImageBitmap> {
  return await createImageBitmap(await fetchData(address).blob());
}

function paint(target: HTMLCanvasElement, picture: ImageBitmap): void {
  target.width = picture.width;
  target.height = picture.height;
  target.getContext("2d")!.drawImage(picture, 0, 0);
}

/** Puts a step beside those before it, where it is the nearest to one of the strip's moments. */
function addToStrip(picture: ImageBitmap, { step, steps }: StepEvent): void {
  const strip = canvas("strip");
  const { width, height } = picture;
  if (strip.width !== MOMENTS * width) {
    strip.width = MOMENTS * width;
    strip.height = height;
  }
  for (let moment = 0; moment < MOMENTS; moment++) {
    const nearest = 1 + Math.round(moment * (steps - 1) / (MOMENTS - 1));
    if (nearest === step) strip.getContext("2d")!.drawImage(picture, moment * width, 0);
  }
}
