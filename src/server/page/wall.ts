/// <reference lib="dom" />
/** Pictures of many seeds, each a link. */
import { button, element } from "./dom.ts";

const BATCH = 24;

export class Wall {
  #first = 0;
  #parameters = new URLSearchParams();

  /** @param choose called with the seed that a visitor chose */
  constructor(readonly choose: (seed: string) => void) {
    button("more").addEventListener("click", () => {
      this.#first += BATCH;
      this.#fill();
    });
  }

  /** The same seeds by another recipe. */
  show(parameters: URLSearchParams): void {
    if (String(parameters) === String(this.#parameters) && this.#list.children.length) return;
    this.#parameters = new URLSearchParams(parameters);
    this.#fill();
  }

  get #list(): HTMLElement {
    return element("pictures", HTMLElement);
  }

  #fill(): void {
    this.#list.replaceChildren(
      ...Array.from({ length: BATCH }, (_, i) => this.#link(String(this.#first + i))),
    );
  }

  #link(seed: string): HTMLAnchorElement {
    const query = new URLSearchParams(this.#parameters);
    const link = document.createElement("a");
    link.href = `?${new URLSearchParams([["seed", seed], ...query])}`;
    link.title = `Watch seed ${seed}`;
    const image = new Image();
    image.loading = "lazy";
    image.alt = `Picture of seed ${seed}`;
    image.src = `v1/images/${seed}.png${query.size ? `?${query}` : ""}`;
    link.append(image, seed);
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      this.choose(seed);
    });
    return link;
  }
}
