/** Every architecture there is. A new one is a folder here and a line in this list. */
import { FieldError } from "../errors.ts";
import type { Architecture, NetworkDefinition } from "./architecture.ts";
import { unet2d } from "./unet2d/mod.ts";

/** The first is what a config without a class name, or a training run that names none, means. */
export const architectures: readonly [Architecture, ...Architecture[]] = [unet2d];

/**
 * Reads a config.json of any architecture.
 * @throws InputError for a class that is none of them, or naming the key that does not fit; also
 * for a network whose output is no noise of its input, or whose input is no picture
 */
export function parseNetwork(json: unknown, where = "config.json"): NetworkDefinition {
  const name = (json as Record<string, unknown> | null)?._class_name;
  const found = name === undefined ? architectures[0] : architectures.find(
    ({ className, oldClassNames = [] }) => [className, ...oldClassNames].includes(name as string),
  );
  if (found) {
    const network = found.parse(json, where);
    checkDrawable(network, where);
    return network;
  }
  const known = architectures.map(({ className }) => className).join(", ");
  throw new FieldError("_class_name", `one of ${known}`, name, where);
}

/** Grey, RGB, and either with alpha: what a picture file holds. */
const MOST_CHANNELS = 4;

function checkDrawable({ shape: [channels], outChannels }: NetworkDefinition, where: string): void {
  if (outChannels !== channels && outChannels !== 2 * channels) {
    throw new FieldError(
      "out_channels",
      `in_channels, ${channels}, or twice as many with a learned variance (networks that are conditioned by concatenation are not read)`,
      outChannels,
      where,
    );
  }
  if (channels > MOST_CHANNELS) {
    const expected = `1 (grey) to ${MOST_CHANNELS}, which pictures have`;
    throw new FieldError("in_channels", expected, channels, where);
  }
}

/** The folders of a diffusers pipeline that a network may lie in. */
export const networkFolders: readonly string[] = [
  ...new Set(architectures.map(({ folder }) => folder)),
];
