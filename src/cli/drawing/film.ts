/** The denoising of pictures as an animation: x_t beside the estimate of the finished picture. */
import { showTimes, stepsToShow } from "../../sampling/making.ts";
import type { Plan } from "../../sampling/plan.ts";
import type { SampleFrame } from "../../sampling/sample.ts";
import { captionScale, labelledGrid } from "../../image/labelled_grid.ts";
import { type Pixels, toPixels } from "../../image/pixels.ts";
import { enlarge } from "../../image/resize.ts";

/** Small pictures are enlarged until they are this many pixels across. */
const MIN_WIDTH = 256;

/** Collects the frames of a run as they come. */
export class Film {
  /** For each step shown, x_t and x_0 of every picture. */
  readonly #cells = new Map<number, Pixels[]>();
  readonly #timesteps: readonly number[];

  constructor(plan: Plan, readonly shape: readonly [number, number, number], pictures: number) {
    for (const step of stepsToShow(plan)) this.#cells.set(step, new Array(2 * pictures));
    this.#timesteps = plan.timesteps;
  }

  add({ index, step, x, x_0 }: SampleFrame): void {
    const cells = this.#cells.get(step);
    if (!cells) return;
    cells[2 * index] = toPixels(x, this.shape);
    cells[2 * index + 1] = toPixels(x_0, this.shape);
  }

  /** The animation's frames and how long each is shown, in milliseconds. */
  develop(): { frames: Pixels[]; delay: number[] } {
    // After a step x has the noise of the next timestep; as in the paper t = 0 is the picture.
    const t = (step: number) => String(Math.round(this.#timesteps[step] ?? -1) + 1);
    const digits = Math.max(...Array.from(this.#cells.keys(), (step) => t(step).length));
    const frames = [...this.#cells].map(([step, cells]) =>
      frame(cells, `t=${t(step).padEnd(digits)}`)
    );
    return { frames, delay: showTimes(frames.length) };
  }
}

/** Pairs of x_t and the estimate x_0 in about a square, their names above and `when` beside them. */
function frame(cells: readonly Pixels[], when: string): Pixels {
  const columns = Math.min(cells.length, 2 * Math.ceil(Math.sqrt(cells.length / 2)));
  const factor = Math.ceil(MIN_WIDTH / (columns * cells[0].width));
  const large = cells.map((cell) => enlarge(cell, factor));
  const rows = Array.from(
    { length: Math.ceil(large.length / columns) },
    (_, i) => large.slice(i * columns, (i + 1) * columns),
  );
  return labelledGrid(rows, {
    rows: rows.map((_, i) => i === 0 ? when : ""),
    columns: Array.from({ length: columns }, (_, i) => i % 2 === 0 ? "x_t" : "x_0"),
    scale: captionScale(large[0].width),
  });
}
