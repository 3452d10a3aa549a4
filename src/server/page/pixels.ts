/// <reference lib="dom" />
/** Pictures of the page as [C, H, W] in −1 … 1, and back on a canvas. */

export interface PagePicture {
  readonly x_0: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Sides of a visitor's own picture: enough to know it by, few enough to redraw while dragging. */
const MAX_SIDE = 192;

/** Reads a picture, cut to a square, in its own size if that is small. */
export async function readPicture(source: Blob): Promise<PagePicture> {
  const bitmap = await createImageBitmap(source);
  const side = Math.min(bitmap.width, bitmap.height);
  const size = Math.min(side, MAX_SIDE);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, size, size);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, left, top, side, side, 0, 0, size, size);
  bitmap.close();
  const { data } = context.getImageData(0, 0, size, size);
  const area = size * size;
  const channels = isGrey(data) ? 1 : 3;
  const x_0 = new Float32Array(channels * area);
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < channels; c++) x_0[c * area + p] = data[4 * p + c] / 127.5 - 1;
  }
  return { x_0, width: size, height: size };
}

/** A grey picture has one channel, so that its noise is grey too. */
function isGrey(data: Uint8ClampedArray): boolean {
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}

/** Draws [C, H, W] in −1 … 1, clamped as a screen does. */
export function draw(
  canvas: HTMLCanvasElement,
  x: Float32Array,
  width: number,
  height: number,
): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  const area = width * height;
  const next = x.length === area ? 0 : area;
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = (x[c * next + p] + 1) * 127.5;
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
