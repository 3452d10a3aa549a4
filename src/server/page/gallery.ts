/// <reference lib="dom" />
/** Several answers side by side: while they come, to choose from, and to keep. */
import { createGenerator } from "../../diffusion/mod.ts";
import { button, element, scrollTo, show } from "./dom.ts";
import { plain, pngOf, put } from "./pixels.ts";

/** What is known for certain: answers show it, and have their own in the rest. */
export interface Known {
  readonly picture: ImageData;
  /** 1 where a pixel is missing. */
  readonly missing: Uint8Array;
}

/** Pixels each way that a kept picture has for one. */
const ENLARGED = 10;

export class Gallery {
  /** The answer that is looked at. */
  chosen = 0;
  #left?: ReturnType<typeof plain>;
  #known?: Known;
  #answers: (ImageData | undefined)[] = [];
  readonly #frames: { choice: HTMLButtonElement; canvas: HTMLCanvasElement; name: HTMLElement }[];

  /** @param choose called with the answer that a visitor chose */
  constructor(count: number, readonly choose: (answer: ImageData) => void) {
    this.#frames = Array.from({ length: count }, (_, i) => {
      const choice = document.createElement("button");
      choice.type = "button";
      const canvas = document.createElement("canvas");
      const name = document.createElement("span");
      choice.append(canvas, name);
      choice.addEventListener("click", () => this.#choose(i));
      return { choice, canvas, name };
    });
    element("answers", HTMLElement).append(...this.#frames.map(({ choice }) => choice));
    button("keep").addEventListener("click", () => this.#keep());
  }

  /** Nothing to show. */
  clear(): void {
    show("answers", false);
    show("keep", false);
  }

  /**
   * Noise in the place of what is missing; of a picture that is damaged everywhere, nothing yet.
   * @param left what is left of the picture
   */
  begin(left: HTMLCanvasElement, known?: Known): void {
    this.#known = known;
    this.#left = plain(left.width, left.height);
    this.#left.context.drawImage(left, 0, 0);
    this.#answers = [];
    this.#mark(0);
    show("answers", true);
    show("keep", false);
    scrollTo("answers", "nearest");
    for (const [i, { choice, canvas, name }] of this.#frames.entries()) {
      choice.disabled = true;
      name.textContent = "…";
      choice.setAttribute("aria-label", `Answer ${i + 1}, not done`);
      if (!known) {
        canvas.width = canvas.height = 1;
        continue;
      }
      const { width, height, data } = known.picture;
      const noise = new ImageData(new Uint8ClampedArray(data), width, height);
      const z = createGenerator(i).randn(data.length);
      noise.data.forEach((_, at) => noise.data[at] = at % 4 === 3 ? 255 : 127.5 + 64 * z[at]);
      put(canvas, this.#over(noise));
    }
  }

  /** Shows an answer as far as it is. @param seed once it is done */
  look(index: number, picture: ImageData, seed: number | undefined): void {
    const { choice, canvas, name } = this.#frames[index];
    const answer = this.#over(picture);
    this.#answers[index] = answer;
    put(canvas, answer);
    if (seed === undefined) return;
    choice.disabled = false;
    name.textContent = `seed ${seed}`;
    choice.setAttribute("aria-label", `Answer ${index + 1}, seed ${seed}`);
  }

  /** What is known, over a picture that is only an estimate of it. */
  #over(picture: ImageData): ImageData {
    const known = this.#known;
    if (!known) return picture;
    const { data } = known.picture;
    known.missing.forEach((m, p) => {
      if (!m) picture.data.set(data.subarray(4 * p, 4 * p + 4), 4 * p);
    });
    return picture;
  }

  #choose(index: number): void {
    this.#mark(index);
    const answer = this.#answers[index];
    if (answer) this.choose(answer);
  }

  #mark(index: number): void {
    this.chosen = index;
    for (const [i, { choice }] of this.#frames.entries()) {
      choice.setAttribute("aria-pressed", String(i === index && !this.#known));
    }
  }

  /** What was left and all answers as one picture, to send or to save. */
  async #keep(): Promise<void> {
    const pictures = [this.#left!.canvas, ...this.#frames.map(({ canvas }) => canvas)];
    const { width, height } = this.#frames[0].canvas;
    const [w, h] = [width * ENLARGED, height * ENLARGED];
    const gap = ENLARGED;
    const sheet = plain(pictures.length * (w + gap) + gap, h + 2 * gap);
    const { context } = sheet;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, sheet.canvas.width, sheet.canvas.height);
    context.imageSmoothingEnabled = false;
    for (const [i, picture] of pictures.entries()) {
      context.fillStyle = "#e8c8b0";
      const at = gap + i * (w + gap);
      context.fillRect(at, gap, w, h);
      context.drawImage(picture, at, gap, w, h);
    }
    const name = "denoise.png";
    const file = new File([await pngOf(sheet.canvas)], name, { type: "image/png" });
    if (matchMedia("(pointer: coarse)").matches && navigator.canShare?.({ files: [file] })) {
      // Who closes the dialogue has changed his mind.
      return await navigator.share({ files: [file] }).catch(() => {});
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}
