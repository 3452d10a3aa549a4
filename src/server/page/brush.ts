/// <reference lib="dom" />
/** Painting the hole: mouse, finger, pen and keyboard on a canvas. */
import { button, element, input, output, speak } from "./dom.ts";
import { brushCentre, Hole, type Point } from "./hole.ts";

/** Pixels that the brush goes at a key, with Shift. */
const LEAP = 4;

const moves: Readonly<Record<string, Point>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class Brush {
  hole = new Hole(1, 1);
  /** Whether painting is possible now. */
  enabled = true;
  #at: Point = [0, 0];
  /** Where the pointer was last while it is down, and what it draws. */
  #stroke?: { last: Point; value: 0 | 1 };
  /** Space is down: the arrows draw. */
  #drawing = false;

  /** @param onPaint called when pixels changed */
  constructor(readonly target: HTMLCanvasElement, readonly onPaint: () => void) {
    target.addEventListener("pointerdown", (event) => this.#down(event));
    target.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) {
      target.addEventListener(type, () => this.#stroke = undefined);
    }
    target.addEventListener("pointerleave", () => this.#mark(document.activeElement === target));
    target.addEventListener("contextmenu", (event) => event.preventDefault());
    target.addEventListener("keydown", (event) => this.#key(event));
    target.addEventListener("keyup", ({ key }) => {
      if (key === " ") this.#drawing = false;
    });
    target.addEventListener("focus", () => this.#mark(target.matches(":focus-visible")));
    target.addEventListener("blur", () => {
      this.#drawing = false;
      this.#mark(false);
    });
    input("brush").addEventListener("input", () => this.#tell());
    button("erase").addEventListener("click", () => this.#setErasing(!this.erasing));
    button("clear").addEventListener("click", () => {
      this.hole.clear();
      onPaint();
      speak("nothing is missing");
    });
    this.#tell();
  }

  /** The brush's diameter in pixels of the picture. */
  get size(): number {
    return Number(input("brush").value);
  }

  get erasing(): boolean {
    return button("erase").getAttribute("aria-pressed") === "true";
  }

  /** Begins with a picture of this size, nothing of it missing. */
  begin(width: number, height: number): void {
    this.hole = new Hole(width, height);
    this.#at = [width / 2, height / 2];
    this.#mark(false);
  }

  #setErasing(erasing: boolean): void {
    button("erase").setAttribute("aria-pressed", String(erasing));
    element("brush-mark", HTMLElement).classList.toggle("erasing", erasing);
  }

  #pointer({ clientX, clientY }: PointerEvent): Point {
    const { left, top, width, height } = this.target.getBoundingClientRect();
    return [
      (clientX - left) / width * this.hole.width,
      (clientY - top) / height * this.hole.height,
    ];
  }

  #down(event: PointerEvent): void {
    if (!this.enabled) return;
    this.target.setPointerCapture(event.pointerId);
    // The other button, and a pen's other end, erase.
    const value = this.erasing || event.button === 2 || event.button === 5 ? 0 : 1;
    const at = this.#pointer(event);
    this.#stroke = { last: at, value };
    this.#paint(at, at, value);
    this.#mark(event.pointerType !== "touch");
  }

  #move(event: PointerEvent): void {
    if (!this.enabled) return;
    this.#at = this.#pointer(event);
    if (this.#stroke) {
      const through = event.getCoalescedEvents?.() ?? [];
      for (const part of through.length > 0 ? through : [event]) {
        const to = this.#pointer(part);
        this.#paint(this.#stroke.last, to, this.#stroke.value);
        this.#stroke.last = to;
      }
    }
    this.#mark(event.pointerType !== "touch");
  }

  #key(event: KeyboardEvent): void {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    const move = moves[key];
    if (move) this.#step(move, event.shiftKey ? LEAP : 1);
    else if (key === " ") this.#dab();
    else if (key === "e" || key === "E") {
      this.#setErasing(!this.erasing);
      speak(this.erasing ? "the brush erases" : "the brush paints");
    } else if (key === "+" || key === "-") {
      input("brush").value = String(this.size + (key === "+" ? 1 : -1));
      this.#tell();
      speak(`brush ${this.size}`);
    } else return;
    event.preventDefault();
    this.#mark(true);
  }

  #step([dx, dy]: Point, by: number): void {
    const { width, height } = this.hole;
    const inside = (v: number, most: number) => Math.min(most - 0.5, Math.max(0.5, v));
    const to: Point = [
      inside(Math.floor(this.#at[0]) + 0.5 + dx * by, width),
      inside(Math.floor(this.#at[1]) + 0.5 + dy * by, height),
    ];
    if (this.#drawing) this.#paint(this.#at, to, this.erasing ? 0 : 1);
    this.#at = to;
    const [column, row] = to.map(Math.floor);
    const missing = this.hole.missing[row * width + column] === 1;
    speak(`column ${column + 1}, row ${row + 1}: ${missing ? "missing" : "known"}`);
  }

  #dab(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    this.#paint(this.#at, this.#at, this.erasing ? 0 : 1);
    speak(`${Math.round(this.hole.share * 100)} % missing`);
  }

  #paint(from: Point, to: Point, value: 0 | 1): void {
    this.#at = to;
    this.hole.stroke(from, to, this.size, value);
    this.onPaint();
  }

  #tell(): void {
    output("brush-text").textContent = String(this.size);
  }

  /** Shows where the brush is, or hides it. */
  #mark(visible: boolean): void {
    const mark = element("brush-mark", HTMLElement);
    mark.hidden = !visible || !this.enabled;
    const { width, height } = this.hole;
    const [x, y] = brushCentre(this.#at, this.size);
    mark.style.left = `${(x - this.size / 2) / width * 100}%`;
    mark.style.top = `${(y - this.size / 2) / height * 100}%`;
    mark.style.width = `${this.size / width * 100}%`;
  }
}
