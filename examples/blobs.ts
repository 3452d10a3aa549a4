/** A data plug-in: pictures that are drawn when training asks for them. Here, soft discs. */
import type { DataPlugin } from "../src/training/mod.ts";

const SIZE = 16;

const blobs: DataPlugin = {
  name: "blobs",
  api: 1,
  description: "a soft disc somewhere on black",
  license: "CC0-1.0",
  picture({ random }) {
    const [x, y, radius] = [4 + 8 * random(), 4 + 8 * random(), 2 + 3 * random()];
    const pixels = new Uint8Array(SIZE * SIZE);
    for (let i = 0; i < pixels.length; i++) {
      const distance = Math.hypot(i % SIZE - x, Math.floor(i / SIZE) - y);
      pixels[i] = 255 / (1 + Math.exp(3 * (distance - radius)));
    }
    return { pixels, width: SIZE, height: SIZE, channels: 1 };
  },
};
export default blobs;
