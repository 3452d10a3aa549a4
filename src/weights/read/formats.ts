/** The kinds of files that hold weights, by the endings of their names. A new one is a line here. */
import type { TensorFormat } from "./formats/format.ts";
import { safetensorsFormat } from "./formats/safetensors.ts";
import { InputError } from "../../errors.ts";

interface Kind {
  readonly endings: readonly string[];
  /** Whether `convert` writes it. */
  readonly written?: boolean;
  /** What reads it: computed, so that only who meets such a file loads its module. */
  readonly load: () => Promise<TensorFormat>;
}

/** Files of tensors, and maybe of the configs that belong to them. */
const tensorFiles: readonly Kind[] = [
  { endings: ["safetensors"], written: true, load: () => Promise.resolve(safetensorsFormat) },
  { endings: ["npz"], written: true, load: async () => (await moduleOf<Npz>("npz")).npzFormat },
  {
    endings: ["bin", "pt", "pth", "ckpt"],
    load: async () => (await moduleOf<Torch>("torch")).torchFormat,
  },
];
type Npz = typeof import("./formats/npz.ts");
type Torch = typeof import("./formats/torch.ts");

function moduleOf<M>(name: string): Promise<M> {
  return import(new URL(`./formats/${name}.ts`, import.meta.url).href);
}

/** Every ending of a file that is weights, or an archive of them. */
export const weightEndings: readonly string[] = [
  "zip",
  ...tensorFiles.flatMap(({ endings }) => endings),
  "onnx",
];

/** The endings of files that are written, archives among them. */
export const writtenEndings: readonly string[] = [
  "zip",
  ...tensorFiles.filter(({ written }) => written).flatMap(({ endings }) => endings),
  "onnx",
];

/** The ending of a name among {@link weightEndings}. */
export function weightEnding(name: string): string | undefined {
  const ending = /\.(\w+)$/.exec(name)?.[1].toLowerCase();
  return ending !== undefined && weightEndings.includes(ending) ? ending : undefined;
}

/**
 * What reads files of an ending.
 * @throws InputError where there is none, or a bundle left it out
 */
export async function tensorFormat(
  ending: string | undefined,
  where: string,
): Promise<TensorFormat> {
  const kind = tensorFiles.find(({ endings }) => ending !== undefined && endings.includes(ending));
  if (!kind) {
    const known = tensorFiles.flatMap(({ endings }) => endings).map((ending) => `.${ending}`);
    throw new InputError(`${where}: expected a file of tensors (${known.join(", ")})`);
  }
  try {
    return await kind.load();
  } catch (cause) {
    const reason = (cause as Error).message.replace(/\s+/g, " ");
    throw new InputError(
      `${where}: what reads .${ending} files cannot be loaded here (${reason}); give .safetensors`,
      { cause },
    );
  }
}
