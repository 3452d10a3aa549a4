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
  const { data, width: size } = await readBytes(source, (width, height) => {
    const side = Math.min(width, height, MAX_SIDE);
    return [side, side];
  });
  const area = size * size;
  const channels = isGrey(data) ? 1 : 3;
  const x_0 = new Float32Array(channels * area);
  for (let p = 0; p < area; p++) {
    for (let c = 0; c < channels; c++) x_0[c * area + p] = data[4 * p + c] / 127.5 - 1;
  }
  return { x_0, width: size, height: size };
}

/**
 * Reads a picture over white: the middle that has the proportions asked for, brought to that size.
 * @param size width and height for a picture of such a width and height
 * @throws where it is no picture that the browser reads
 */
export async function readBytes(
  source: Blob,
  size: (width: number, height: number) => readonly [width: number, height: number],
): Promise<ImageData> {
  const bitmap = await createImageBitmap(source);
  const [width, height] = size(bitmap.width, bitmap.height);
  const scale = Math.min(bitmap.width / width, bitmap.height / height);
  const [w, h] = [width * scale, height * scale];
  const [left, top] = [(bitmap.width - w) / 2, (bitmap.height - h) / 2];
  const { context } = plain(width, height);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, w, h, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

/** A canvas that is not on the page. */
export function plain(width: number, height: number) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return { canvas, context: canvas.getContext("2d", { willReadFrequently: true })! };
}

/** A picture on a canvas, in its own pixels. */
export function put(canvas: HTMLCanvasElement, picture: ImageData): void {
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
}

/** A canvas' PNG. */
export async function pngOf(canvas: HTMLCanvasElement): Promise<Blob> {
  const png = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (png) return png;
  throw new Error("this browser could not write a picture");
}

/** A picture's PNG. */
export function encode(picture: ImageData): Promise<Blob> {
  const { canvas } = plain(picture.width, picture.height);
  put(canvas, picture);
  return pngOf(canvas);
}

/** A picture with a hole, which is transparent. @param missing 1 where a pixel is */
export function torn({ data, width, height }: ImageData, missing: Uint8Array): ImageData {
  const out = new ImageData(new Uint8ClampedArray(data), width, height);
  missing.forEach((m, p) => m && out.data.fill(0, 4 * p, 4 * p + 4));
  return out;
}

/** A black picture of the same size. */
export function black({ width, height }: ImageData): ImageData {
  const out = new ImageData(width, height);
  return new ImageData(out.data.map((_, at) => at % 4 === 3 ? 255 : 0), width, height);
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
