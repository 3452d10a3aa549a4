/** Data plug-ins: pictures that are drawn when they are asked for, as many as training takes. */
import { createGenerator, seedFromName } from "../../diffusion/random.ts";
import { InputError } from "../../errors.ts";
import { importPlugin } from "../../files/import_plugin.ts";
import { fitPicture } from "./fit.ts";
import { bytesDataSet, type DataOptions, type DataSet, type PictureSource } from "./data_set.ts";

/**
 * The default export of a data plug-in's module.
 *
 * @example
 * ```ts
 * const dots: DataPlugin = {
 *   name: "dots",
 *   api: 1,
 *   picture({ random }) {
 *     const pixels = new Uint8Array(16 * 16);
 *     pixels[Math.floor(random() * 256)] = 255;
 *     return { pixels, width: 16, height: 16, channels: 1 };
 *   },
 * };
 * export default dots;
 * ```
 */
export interface DataPlugin {
  /** Lower-case letters, digits, "-", "_" and "+". */
  readonly name: string;
  /** The contract's version. */
  readonly api: 1;
  /** A line for people. */
  readonly description?: string;
  /** For the model card, where the recipe names none. */
  readonly license?: string;
  /** The classes' names, in order of index; left out, the pictures have none. */
  readonly classes?: readonly string[];
  /**
   * Picture k of a seed. The same seed and k give the same picture and label, whatever was drawn
   * before, so that a run that was broken off can be taken up.
   */
  picture(draw: Draw): DrawnPicture;
}

/** Which picture is asked for. */
export interface Draw {
  /** The run's seed. */
  readonly seed: number;
  /** Counted from 0. */
  readonly k: number;
  /** Numbers in [0, 1), all equally likely: a sequence of (seed, k)'s own. */
  random(): number;
}

/** Of any size: it is scaled and cropped to what is trained, as a file would be. */
export interface DrawnPicture {
  /** [height, width, channels]. */
  readonly pixels: Uint8Array;
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
  readonly channels: number;
  /** One of `classes`, given exactly where there are classes. */
  readonly label?: string;
}

/** Whether data is named by a module, not by a folder or file of pictures. */
export function isDataPlugin(source: string): boolean {
  return /^(https?|data|blob):/.test(source) || /\.[cm]?[jt]sx?$/.test(source);
}

/**
 * A data plug-in by path or address.
 * @throws InputError where it cannot be loaded, or does not keep to the contract
 */
export async function loadDataPlugin(spec: string): Promise<DataPlugin> {
  const where = `data ${spec}`;
  return checkDataPlugin(await importPlugin(spec, where), where);
}

/** Picture k of a seed, checked. */
export function drawPicture(
  plugin: DataPlugin,
  seed: number,
  k: number,
  where = `data ${plugin.name}`,
): DrawnPicture {
  const generator = createGenerator(seedFromName(`picture ${seed} ${k}`));
  const random = () => generator.uint32() / 2 ** 32;
  let picture: DrawnPicture;
  try {
    picture = plugin.picture({ seed, k, random });
  } catch (error) {
    throw new InputError(`${where}: picture ${k} failed: ${(error as Error).message}`, {
      cause: error,
    });
  }
  checkPicture(picture, plugin.classes, `${where}: picture ${k}`);
  return picture;
}

/** A seed's pictures without end. */
export function generatedPictures(
  plugin: DataPlugin,
  seed: number,
  options: Pick<DataOptions, "size" | "channels">,
): PictureSource {
  const { size: [height, width], channels } = options;
  const bytes = new Uint8Array(channels * height * width);
  const labels = labelIndex(plugin);
  let last: { k: number; picture: DrawnPicture } | undefined;
  // Training asks for a picture and then for its label.
  const draw = (k: number) => {
    if (last?.k !== k) last = { k, picture: drawPicture(plugin, seed, k) };
    return last.picture;
  };
  return {
    length: Infinity,
    shape: [channels, height, width],
    labelNames: plugin.classes,
    license: plugin.license,
    skipped: [],
    labels: labels && { at: (k) => labels.get(draw(k).label!)! },
    picture(k, out) {
      fitPicture(draw(k), options, bytes);
      for (let p = 0; p < bytes.length; p++) out[p] = bytes[p] / 127.5 - 1;
    },
  };
}

/** A seed's first pictures, as a set to measure on. */
export function drawnDataSet(
  plugin: DataPlugin,
  seed: number,
  length: number,
  options: Pick<DataOptions, "size" | "channels">,
): DataSet {
  const { size: [height, width], channels } = options;
  const size = channels * height * width;
  const bytes = new Uint8Array(length * size);
  const indices = labelIndex(plugin);
  const labels = new Int32Array(length);
  for (let k = 0; k < length; k++) {
    const picture = drawPicture(plugin, seed, k);
    fitPicture(picture, options, bytes.subarray(k * size, (k + 1) * size));
    if (indices) labels[k] = indices.get(picture.label!)!;
  }
  return bytesDataSet(bytes, [channels, height, width], {
    ...(indices ? { labels, labelNames: plugin.classes } : {}),
  });
}

function labelIndex({ classes }: DataPlugin): Map<string, number> | undefined {
  return classes && new Map(classes.map((name, i) => [name, i]));
}

const keys = ["name", "api", "description", "license", "classes", "picture"];

/**
 * The default export of a module, if it is a `DataPlugin` whose pictures can be told by seed and k.
 * @throws InputError that says what was expected and what was found
 */
export function checkDataPlugin(module: unknown, where: string): DataPlugin {
  const expect = (fits: boolean, expected: string, found: unknown) => {
    if (!fits) throw new InputError(`${where}: expected ${expected}, found ${describe(found)}`);
  };
  const exported = (module as { default?: unknown }).default;
  expect(
    typeof exported === "object" && exported !== null,
    "a default export { name, api: 1, picture }",
    exported,
  );
  const plugin = exported as Record<string, unknown>;
  expect(plugin.api === 1, "api: 1 (the contract's version)", plugin.api);
  expect(
    typeof plugin.name === "string" && /^[a-z][a-z0-9_+-]*$/.test(plugin.name),
    'name: lower-case letters, digits, "-", "_" and "+"',
    plugin.name,
  );
  expect(typeof plugin.picture === "function", "picture: a function", plugin.picture);
  for (const key of ["description", "license"]) {
    const value = plugin[key];
    expect(value === undefined || typeof value === "string", `${key}: text`, value);
  }
  for (const key of Object.keys(plugin)) {
    expect(keys.includes(key), `no keys but ${keys.join(", ")}`, key);
  }
  const { classes } = plugin;
  const names = Array.isArray(classes) && classes.length > 0 &&
    classes.every((name) => typeof name === "string" && name !== "");
  expect(classes === undefined || names, "classes: a list of names", classes);
  expect(
    !names || new Set(classes).size === classes.length,
    "classes: each name once",
    classes,
  );
  const checked = exported as DataPlugin;
  const [first, again] = [0, 0].map((k) => drawPicture(checked, 0, k, where));
  if (first.label !== again.label || first.pixels.some((x, p) => x !== again.pixels[p])) {
    throw new InputError(
      `${where}: picture 0 of seed 0 came out differently when it was asked for again; expected all chance to come from random()`,
    );
  }
  return checked;
}

function checkPicture(
  picture: DrawnPicture,
  classes: readonly string[] | undefined,
  where: string,
): void {
  const { pixels, width, height, channels, label } = picture ?? {};
  const expect = (fits: boolean, expected: string, found: unknown) => {
    if (!fits) throw new InputError(`${where}: expected ${expected}, found ${describe(found)}`);
  };
  const positive = (x: number) => Number.isInteger(x) && x > 0;
  expect(
    pixels instanceof Uint8Array || pixels as unknown instanceof Uint8ClampedArray,
    "pixels: a Uint8Array",
    pixels,
  );
  expect([1, 2, 3, 4].includes(channels), "channels: 1, 2, 3 or 4", channels);
  expect(positive(width) && positive(height), "width and height from 1", [width, height]);
  const size = width * height * channels;
  expect(
    pixels.length === size,
    `${size} numbers in pixels, ${width}×${height}×${channels}`,
    pixels.length,
  );
  if (classes) expect(classes.includes(label!), "label: one of the plug-in's classes", label);
  else expect(label === undefined, "no label, as the plug-in names no classes", label);
}

function describe(found: unknown): string {
  if (typeof found === "function") return "a function";
  try {
    return JSON.stringify(found)?.slice(0, 200) ?? String(found);
  } catch {
    return String(found);
  }
}
