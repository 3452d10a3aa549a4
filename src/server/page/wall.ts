/// <reference lib="dom" />
/** Pictures of many seeds, each a link. */
import { button, element } from "./dom.ts";

const BATCH = 24;

export class Wall {
  readonly #inSight: IntersectionObserver;
  #first = 0;
  #parameters = new URLSearchParams();
  #mostSteps = 0;

  /** @param choose called with the seed that a visitor chose */
  constructor(readonly choose: (seed: string) => void) {
    // Only what is looked at is asked for: the picture being watched above has the network first.
    this.#inSight = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting || !(target instanceof HTMLImageElement)) continue;
        this.#inSight.unobserve(target);
        target.src = target.dataset.src!;
      }
    });
    button("more").addEventListener("click", () => {
      this.#first += BATCH;
      this.#fill();
    });
  }

  /**
   * The same seeds by another recipe.
   * @param mostSteps of a picture here; the one that is watched may take more
   */
  show(parameters: URLSearchParams, mostSteps: number): void {
    if (String(parameters) === String(this.#parameters) && this.#list.children.length) return;
    this.#mostSteps = mostSteps;
    this.#parameters = new URLSearchParams(parameters);
    this.#fill();
  }

  get #list(): HTMLElement {
    return element("pictures", HTMLElement);
  }

  #fill(): void {
    this.#inSight.disconnect();
    this.#list.replaceChildren(
      ...Array.from({ length: BATCH }, (_, i) => this.#link(String(this.#first + i))),
    );
  }

  #link(seed: string): HTMLAnchorElement {
    const query = new URLSearchParams(this.#parameters);
    const link = document.createElement("a");
    link.href = `?${new URLSearchParams([["seed", seed], ...query])}`;
    link.title = `Watch seed ${seed}`;
    if (Number(query.get("steps")) > this.#mostSteps) query.delete("steps");
    const image = new Image();
    image.alt = `Picture of seed ${seed}`;
    image.dataset.src = `v1/images/${seed}.png${query.size ? `?${query}` : ""}`;
    image.addEventListener("error", () => link.title = `Seed ${seed} could not be made; watch it`);
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
