/**
 * What values may be: one kind of description for configs, recipes, cards, plug-in options and flags,
 * from which come the check, the words of its message, and the value that a text stands for. Own code
 * rather than zod: it is part of every bundle, reads text by type, and is smaller than the table of
 * messages that zod would need to say the same.
 */
import { FieldError } from "./errors.ts";

/** A kind of values. */
export interface Type<T = unknown> {
  /** In messages and help: "a whole number from 1 to 9". */
  readonly expected: string;
  /** Whether a value is one. */
  accepts(value: unknown): value is T;
  /** The value that a text stands for; the text itself where it stands for none. */
  fromText(text: string): unknown;
}

function type<T>(
  expected: string,
  accepts: (value: unknown) => boolean,
  fromText: (text: string) => unknown = (text) => text,
): Type<T> {
  return { expected, accepts: accepts as Type<T>["accepts"], fromText };
}

function range(what: string, least: number, most: number): string {
  if (least === -Infinity && most === Infinity) return what;
  if (most === Infinity) return `${what} of at least ${least}`;
  if (least === -Infinity) return `${what} of at most ${most}`;
  return `${what} from ${least} to ${most}`;
}

/** A finite number. */
export function number(least = -Infinity, most = Infinity): Type<number> {
  return type(
    range("a number", least, most),
    (value) => Number.isFinite(value) && (value as number) >= least && (value as number) <= most,
    (text) => /^\s*[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?\s*$/i.test(text) ? Number(text) : text,
  );
}

/** A whole number. */
export function whole(least = -Infinity, most = Infinity): Type<number> {
  return type(
    range("a whole number", least, most),
    (value) =>
      Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
    (text) => /^\s*[-+]?\d+\s*$/.test(text) ? Number(text) : text,
  );
}

/** true or false. */
export const flag: Type<boolean> = type(
  "true or false",
  (value) => typeof value === "boolean",
  (text) => text === "true" ? true : text === "false" ? false : text,
);

/** Text of at least `least` characters. */
export function text(least = 0): Type<string> {
  return type("text", (value) => typeof value === "string" && value.length >= least);
}

/** One of some values. */
export function choice<const T extends string | number | boolean | null>(
  values: readonly T[],
): Type<T> {
  return type(
    values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(", ")}`,
    (value) => values.includes(value as T),
    (text) => {
      const at = values.findIndex((value) => String(value) === text.trim());
      return at < 0 ? text : values[at];
    },
  );
}

/** A value, or null. */
export function nullable<T>(inner: Type<T>): Type<T | null> {
  return type(
    `${inner.expected}, or null`,
    (value) => value === null || inner.accepts(value),
    (text) => text.trim() === "null" ? null : inner.fromText(text),
  );
}

/** At least one value, in text with commas between them. */
export function list<T>(item: Type<T>): Type<readonly T[]> {
  return type(
    `a list, each ${item.expected}`,
    (value) => Array.isArray(value) && value.length > 0 && value.every((one) => item.accepts(one)),
    (text) => {
      const inside = /^\s*\[(.*)\]\s*$/s.exec(text)?.[1] ?? text;
      return inside.split(",").map((part) => item.fromText(part.trim()));
    },
  );
}

/** The value if it is one of its type. @throws FieldError naming the field, expectation and finding */
export function check<T>(type: Type<T>, value: unknown, field: string, where?: string): T {
  if (type.accepts(value)) return value;
  throw new FieldError(field, type.expected, value, where);
}

/** The value that a text stands for. @throws FieldError with the text as it was */
export function parse<T>(type: Type<T>, text: string, field: string): T {
  const value = type.fromText(text);
  if (type.accepts(value)) return value;
  throw new FieldError(field, type.expected, text);
}

/** A key of an object: its type, and its value where it is missing. */
export interface Field<T = unknown> {
  /** What its values are. */
  readonly type: Type<T>;
  /** Left out, the key has to be there. */
  readonly missing?: T;
  /** Whether the key may be left out, and is then left out of the result. */
  readonly optional?: boolean;
}

/** The keys of an object by name. */
export type Fields<T> = { readonly [K in keyof Required<T>]: Field<Required<T>[K]> };

/**
 * The keys of a parsed JSON object that are described; others are passed over, as newer versions write
 * more.
 * @param where what to call the object in messages
 * @throws FieldError naming the key
 */
export function readFields<T>(json: unknown, fields: Fields<T>, where: string): T {
  const object = requireObject(json, where);
  const result: Record<string, unknown> = {};
  for (const [key, { type, missing, optional }] of Object.entries<Field>(fields)) {
    const found = Object.hasOwn(object, key) ? object[key] : undefined;
    const value = found === undefined ? missing : found;
    if (value === undefined && optional) continue;
    result[key] = check(type, value, key, where);
  }
  return result as T;
}

/** @throws FieldError unless the value is an object */
export function requireObject(json: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw new FieldError(where, "a JSON object", json);
}

/**
 * Takes keys out of a JSON object one by one, so that what is left over is known to be foreign. A key
 * that is undefined, as code may write what JSON cannot, is missing.
 */
export class Keys {
  readonly #left = new Map<string, unknown>();

  /**
   * @param where what to call the object in messages
   * @param renamed today's names of keys that had others
   * @throws FieldError unless the value is an object
   */
  constructor(
    json: unknown,
    readonly where: string,
    renamed: Readonly<Record<string, string>> = {},
  ) {
    for (const [key, value] of Object.entries(requireObject(json, where))) {
      if (value === undefined) continue;
      this.#left.set(Object.hasOwn(renamed, key) ? renamed[key] : key, value);
    }
  }

  /** Whatever is there. */
  take(key: string): unknown {
    const value = this.#left.get(key);
    this.#left.delete(key);
    return value;
  }

  /** A value; null is the same as missing. @throws FieldError naming the key */
  read<T>(key: string, type: Type<T>, missing: T): T {
    return check(type, this.take(key) ?? missing, key, this.where);
  }

  /** A value; null is one like others, and not the same as missing. @throws FieldError naming the key */
  exactly<T>(key: string, type: Type<T>, missing: T): T {
    return check(type, this.#left.has(key) ? this.take(key) : missing, key, this.where);
  }

  /** A truth value; null is false where it is there, as in Python. @throws FieldError naming the key */
  flag(key: string, missing: boolean): boolean {
    const value = this.#left.has(key) ? this.take(key) ?? false : missing;
    return check(flag, value, key, this.where);
  }

  /** What nobody has taken. */
  get left(): ReadonlyMap<string, unknown> {
    return this.#left;
  }
}
