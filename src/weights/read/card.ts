/** What denoise adds to a diffusers folder, under a key of `model_index.json` that diffusers skips. */
import { InputError } from "../../errors.ts";

/** The key in model_index.json; diffusers ignores keys that begin with an underscore. */
export const CARD_KEY = "_denoise";

/** What a network that was distilled from another was taught. */
export interface Distilled {
  /** The weights it learned from. */
  readonly teacher: string;
  /** The guidance that is folded in: asking for more would apply it twice. */
  readonly guidance: number;
  /** How many steps it was taught to take; left out, it knows every timestep. */
  readonly steps?: number;
}

/** What a network's own files cannot say. */
export interface WeightsCard {
  /** The classes' names, in order of index, without the null label. */
  readonly labels?: readonly string[];
  /** The index that was trained to mean "no class". */
  readonly null_label?: number;
  /** What `sample` does when nothing is asked for. */
  readonly recommended?: { scheduler: string; steps: number; guidance?: number };
  /** How few-step weights came to be, and what they therefore know. */
  readonly distilled?: Distilled;
}

/** The classes' names, their indices where the card has none; undefined without classes. */
export function classNames(
  { labels }: WeightsCard,
  classes: number | null,
): readonly string[] | undefined {
  if (classes === null) return undefined;
  return labels ?? Array.from({ length: classes }, (_, i) => String(i));
}

/** Reads the card out of a parsed model_index.json; {} where there is none. */
export function parseCard(modelIndex: unknown, classes: number | null, where: string): WeightsCard {
  const card = (modelIndex as Record<string, unknown> | undefined)?.[CARD_KEY];
  if (card === undefined) return {};
  if (typeof card !== "object" || card === null) fail(where, "", "an object", card);
  const { labels, null_label, recommended, distilled } = card as Record<string, unknown>;
  if (labels !== undefined) {
    if (!Array.isArray(labels) || !labels.every((label) => typeof label === "string")) {
      fail(where, ".labels", "a list of names", labels);
    }
    if (classes === null || labels.length > classes) {
      fail(where, ".labels", `at most ${classes ?? 0} names (num_class_embeds)`, labels);
    }
  }
  if (null_label !== undefined) {
    const index = null_label as number;
    if (!Number.isInteger(index) || index < 0 || index >= (classes ?? 0)) {
      fail(where, ".null_label", `an index below num_class_embeds ${classes}`, null_label);
    }
  }
  if (recommended !== undefined) {
    const { scheduler, steps, guidance = 1 } = (recommended ?? {}) as Record<string, unknown>;
    if (typeof scheduler !== "string" || !Number.isInteger(steps) || typeof guidance !== "number") {
      fail(where, ".recommended", "{ scheduler, steps, guidance? }", recommended);
    }
  }
  if (distilled !== undefined) {
    const { teacher, guidance, steps = 1 } = (distilled ?? {}) as Record<string, unknown>;
    const whole = Number.isInteger(steps) && steps as number > 0;
    if (typeof teacher !== "string" || typeof guidance !== "number" || !whole) {
      fail(where, ".distilled", "{ teacher, guidance, steps? }", distilled);
    }
  }
  // macOS gives folders' names, which classes come from, in another Unicode form than keyboards do.
  return labels === undefined
    ? card as WeightsCard
    : { ...card, labels: (labels as string[]).map((label) => label.normalize("NFC")) };
}

function fail(where: string, key: string, expected: string, found: unknown): never {
  throw new InputError(
    `${where}: ${CARD_KEY}${key} is ${JSON.stringify(found)}; expected ${expected}`,
  );
}
