/** A data plug-in in ten lines: rings of any size and colour. `train --data examples/rings.ts` */
import type { DataPlugin } from "../mod.ts";

const rings: DataPlugin = {
  name: "rings",
  api: 1,
  classes: ["large", "small"],
  picture({ random }) {
    const radius = 3 + 10 * random(), colour = [random(), random(), random()];
    const pixels = new Uint8Array(32 * 32 * 3).map((_, i) => {
      const [x, y] = [Math.floor(i / 3) % 32 - 15.5, Math.floor(i / 96) - 15.5];
      return Math.abs(Math.hypot(x, y) - radius) < 2 ? 255 * colour[i % 3] : 20;
    });
    return { pixels, width: 32, height: 32, channels: 3, label: radius > 8 ? "large" : "small" };
  },
};
export default rings;
