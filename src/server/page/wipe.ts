/// <reference lib="dom" />
/** A slider between what was left and what was made of it, one over the other. */
import { canvas, element, input } from "./dom.ts";

/**
 * The `upper` canvas shows to the right of the slider's place, the `lower` one to the left of it. The
 * picture itself may be dragged, too.
 */
export function wipe(lower: string, upper: string): void {
  const slider = input("wipe");
  const set = () => {
    const place = Number(slider.value);
    element("frame", HTMLElement).style.setProperty("--wipe", `${place}%`);
    slider.setAttribute("aria-valuetext", `restored in the right ${100 - place} %`);
  };
  slider.addEventListener("input", set);
  const drag = (event: PointerEvent) => {
    if (canvas(upper).hidden || event.buttons === 0) return;
    const { left, width } = canvas(lower).getBoundingClientRect();
    slider.value = String((event.clientX - left) / width * 100);
    set();
  };
  canvas(upper).addEventListener("pointerdown", (event) => {
    canvas(upper).setPointerCapture(event.pointerId);
    drag(event);
  });
  canvas(upper).addEventListener("pointermove", drag);
  set();
}
