/// <reference lib="dom" />
/** Pictures of many seeds, each a link. */
import { button, element } from "./dom.ts";

const BATCH = 24;

/** Requests at a time: a browser has six connections to a server, and what is watched needs one. */
const AT_ONCE = 2;

/** Steps of a picture as small as these, by the sampler that the weights recommend. */
const STEPS = 8;

/** How often a picture is asked for that the server has no room for now. */
const TRIES = 4;

/** What weights recommend, as far as it matters here. */
interface Recommended {
  readonly scheduler: string;
  readonly steps: number;
}

export class Wall {
  readonly #inSight: IntersectionObserver;
  #first = 0;
  #parameters = new URLSearchParams();
  #steps = 0;
  #waiting: HTMLImageElement[] = [];
  #loading = 0;
  #paused = false;
  #filled = new AbortController();

  /** @param choose called with the seed that a visitor chose */
  constructor(readonly choose: (seed: string) => void) {
    // Only what is looked at is asked for.
    this.#inSight = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting || !(target instanceof HTMLImageElement)) continue;
        this.#inSight.unobserve(target);
        this.#waiting.push(target);
      }
      this.#next();
    });
    button("more").addEventListener("click", () => {
      this.#first += BATCH;
      this.#fill();
    });
  }

  /** Asks for nothing more: a picture that is watched has the network for itself. */
  pause(): void {
    this.#paused = true;
  }

  /** Goes on. */
  resume(): void {
    this.#paused = false;
    this.#next();
  }

  /** The same seeds by another recipe, in few steps; the one that is watched may take more. */
  show(parameters: URLSearchParams, recommended: Recommended): void {
    if (String(parameters) === String(this.#parameters) && this.#list.children.length) return;
    this.#parameters = new URLSearchParams(parameters);
    const most = parameters.has("scheduler") ? recommended.steps : STEPS;
    this.#steps = Math.min(most, Number(parameters.get("steps") ?? recommended.steps));
    element("wall-text", HTMLElement).textContent =
      ` Here they are small, and made in ${this.#steps} steps.`;
    this.#fill();
  }

  get #list(): HTMLElement {
    return element("pictures", HTMLElement);
  }

  #fill(): void {
    this.#inSight.disconnect();
    this.#filled.abort();
    this.#filled = new AbortController();
    this.#waiting = [];
    this.#list.replaceChildren(
      ...Array.from({ length: BATCH }, (_, i) => this.#link(String(this.#first + i))),
    );
  }

  #next(): void {
    while (!this.#paused && this.#loading < AT_ONCE && this.#waiting.length > 0) {
      this.#loading++;
      const image = this.#waiting.shift()!;
      this.#load(image, this.#filled.signal)
        .catch(() => image.parentElement!.title += "; its picture could not be made")
        .finally(() => {
          this.#loading--;
          this.#next();
        });
    }
  }

  /** Fetched, since an image does not say why it failed: where there is no room it is asked for again. */
  async #load(image: HTMLImageElement, signal: AbortSignal): Promise<void> {
    for (let tries = 1;; tries++) {
      if (signal.aborted) return;
      const response = await fetch(image.dataset.src!, { signal });
      if (response.ok) {
        image.src = URL.createObjectURL(await response.blob());
        await image.decode().finally(() => URL.revokeObjectURL(image.src));
        return;
      }
      await response.body?.cancel();
      const seconds = Number(response.headers.get("retry-after"));
      if (!seconds || tries === TRIES) throw new Error(`${response.status}`);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }

  #link(seed: string): HTMLAnchorElement {
    const query = new URLSearchParams(this.#parameters);
    const link = document.createElement("a");
    link.href = `?${new URLSearchParams([["seed", seed], ...query])}`;
    link.title = `Watch seed ${seed}`;
    query.set("steps", String(this.#steps));
    const image = new Image();
    image.alt = `Picture of seed ${seed}`;
    image.dataset.src = `v1/images/${seed}.png?${query}`;
    this.#inSight.observe(image);
    link.append(image, seed);
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.choose(seed);
    });
    return link;
  }
}
