/// <reference lib="dom" />
/** Dragging a picture through x_0 … x_T, under two schedules, with the same noise. */
import {
  cosineBetas,
  createGenerator,
  linearBetas,
  makeSchedule,
  q_sample,
  type Schedule,
} from "../../diffusion/mod.ts";
import { button, canvas, input, output } from "./dom.ts";
import { draw, type PagePicture, readPicture } from "./pixels.ts";
import { acceptPictures, unreadable } from "./upload.ts";

const schedules: Readonly<Record<"linear" | "cosine", Schedule>> = {
  linear: makeSchedule(linearBetas(1000)),
  cosine: makeSchedule(cosineBetas(1000)),
};
const names = ["linear", "cosine"] as const;

/** What the page may do with the forward part. */
export interface Forward {
  /** Puts another picture under the slider. */
  show(picture: Blob, own?: boolean): Promise<void>;
  /** Whether the visitor chose the picture. */
  readonly own: boolean;
}

export function forward(): Forward {
  const time = input("time");
  let picture: PagePicture | undefined;
  let noise: Float32Array = new Float32Array();
  let noiseSeed = 0;
  let own = false;
  let drawing = 0;

  const paint = () => {
    drawing = 0;
    const t = Number(time.value);
    const text = t < 0 ? "the picture itself" : `t = ${t + 1} of 1000`;
    output("time-text").textContent = text;
    time.setAttribute("aria-valuetext", text);
    const at = (t + 1) / 1000 * 400;
    const now = document.getElementById("curve-now")!;
    now.setAttribute("x1", String(at));
    now.setAttribute("x2", String(at));
    for (const name of names) {
      const alpha_bar = schedules[name].alpha_bar(t);
      // What the curve shows.
      output(`alpha-${name}`).textContent = `√ᾱ = ${Math.sqrt(alpha_bar).toFixed(3)}`;
      if (!picture) continue;
      const x_t = q_sample(picture.x_0, t, schedules[name], noise);
      draw(canvas(`forward-${name}`), x_t, picture.width, picture.height);
    }
  };
  const soon = () => drawing ||= requestAnimationFrame(paint);

  const freshNoise = () => {
    if (picture) noise = createGenerator(noiseSeed).randn(picture.x_0.length);
  };

  time.addEventListener("input", soon);
  button("new-noise").addEventListener("click", () => {
    noiseSeed++;
    freshNoise();
    soon();
  });
  const show = async (blob: Blob, byVisitor = false) => {
    picture = await readPicture(blob);
    own = byVisitor;
    freshNoise();
    soon();
  };
  acceptPictures("forward", "file", (picture) => {
    show(picture, true).catch(() => output("time-text").textContent = unreadable(picture));
  });
  drawCurves();
  soon();
  return {
    show,
    get own() {
      return own;
    },
  };
}

/** √ᾱ over time: how much of the picture is left. */
function drawCurves(): void {
  for (const name of names) {
    const points = Array.from({ length: 101 }, (_, i) => {
      const left = Math.sqrt(schedules[name].alpha_bar(i * 10 - 1));
      return `${i * 4} ${(82 - 80 * left).toFixed(2)}`;
    });
    document.getElementById(`curve-${name}`)!.setAttribute("d", `M${points.join("L")}`);
  }
}
