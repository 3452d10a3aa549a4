/** What denoise adds to a diffusers folder, under a key of `model_index.json` that diffusers skips. */
import { type Guided, guidedType } from "../../diffusion/guided.ts";
import {
  type Field,
  type Fields,
  number,
  readFields,
  text,
  type Type,
  whole,
} from "../../schema.ts";

/** The key in model_index.json; diffusers ignores keys that begin with an underscore. */
export const CARD_KEY = "_denoise";

/** What a network that was distilled from another was taught. */
export interface Distilled {
  /** The weights it learned from. */
  readonly teacher: string;
  /** The guidance that is folded in: asking for more would apply it twice. */
  readonly guidance: number;
  /** The timesteps at which its teacher was guided; left out, all. */
  readonly guided?: Guided;
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
  readonly recommended?: { scheduler: string; steps: number; guidance?: number; guided?: Guided };
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
  const at = `${where}: ${CARD_KEY}`;
  const { labels } = readFields<WeightsCard>(card, {
    labels: optional(labelsOf(classes)),
    null_label: optional({
      ...whole(0, (classes ?? 0) - 1),
      expected: `an index below num_class_embeds ${classes}`,
    }),
    recommended: optional(object("{ scheduler, steps, guidance?, guided? }", {
      scheduler: { type: text() },
      steps: { type: whole(1) },
      guidance: optional(number()),
      guided: optional(guidedType),
    })),
    distilled: optional(object("{ teacher, guidance, guided?, steps? }", {
      teacher: { type: text() },
      guidance: { type: number() },
      guided: optional(guidedType),
      steps: optional(whole(1)),
    })),
  }, at);
  // macOS gives folders' names, which classes come from, in another Unicode form than keyboards do.
  return labels === undefined
    ? card as WeightsCard
    : { ...card as WeightsCard, labels: labels.map((label) => label.normalize("NFC")) };
}

const optional = <T>(type: Type<T>): Field<T> => ({ type, optional: true });

/** Names of classes, no more than the network has. */
function labelsOf(classes: number | null): Type<readonly string[]> {
  return {
    expected: `a list of at most ${classes ?? 0} names (num_class_embeds)`,
    accepts: (value): value is string[] =>
      Array.isArray(value) && classes !== null && value.length <= classes &&
      value.every((label) => typeof label === "string"),
    fromText: (text) => text,
  };
}

/** An object by the types of its keys. */
function object<T>(expected: string, fields: Fields<T>): Type<T> {
  return {
    expected,
    accepts: (value): value is T => {
      try {
        readFields(value, fields, "");
        return true;
      } catch {
        return false;
      }
    },
    fromText: (text) => text,
  };
}
