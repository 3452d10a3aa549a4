/** What GIF and APNG have in common. */
import type { Pixels } from "./pixels.ts";
import type { Enlargement } from "./resize.ts";

/** How frames follow each other. */
export interface AnimationOptions {
  /** Milliseconds a frame, or a list with one number a frame. Default 100. */
  readonly delay?: number | readonly number[];
  /** How often it plays; 0, the default, is without end. */
  readonly plays?: number;
  /** Every frame is shown enlarged, which is done after its colours are chosen; default as it is. */
  readonly enlarged?: Enlargement;
}

/** Each frame's time in milliseconds. @throws Error for frames or times that do not fit together. */
export function delaysOf(frames: readonly Pixels[], { delay = 100 }: AnimationOptions): number[] {
  if (frames.length === 0) throw new Error("expected at least one frame, found none");
  const [{ width, height, channels }] = frames;
  const other = frames.findIndex((f) =>
    f.width !== width || f.height !== height || f.channels !== channels
  );
  if (other >= 0) {
    const f = frames[other];
    throw new Error(
      `frame ${other} is ${f.width}×${f.height}×${f.channels}, the first ${width}×${height}×${channels}`,
    );
  }
  const delays = typeof delay === "number" ? frames.map(() => delay) : [...delay];
  if (delays.length !== frames.length || !delays.every((d) => d >= 0 && d <= 65535)) {
    throw new Error(`expected ${frames.length} delays of 0 to 65535 ms, found [${delays}]`);
  }
  return delays;
}
