/** Errors that say what was wrong with an input. */

/**
 * Something the user can put right: a wrong option, a damaged file, an impossible combination. The
 * message says what was expected, what was found and what to do. The command line prints it as one
 * line and exits with 2; the server answers 4xx.
 */
export class InputError extends Error {
  /** Tells it from other errors across realms. */
  override readonly name: string = "InputError";

  /**
   * An error with this message, in which nothing quoted from a stranger's file steers a terminal (see
   * {@link visible}).
   */
  constructor(message?: string, options?: ErrorOptions) {
    super(message && visible(message), options);
  }
}

/**
 * A text without what would steer a terminal: control characters, C1 ones too, and those that turn the
 * direction of writing are shown by their numbers. Names in a stranger's file stay names.
 */
export function visible(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * A field whose value does not fit: `steps: expected a whole number from 1 to 1000, found 0`. Whoever
 * reads fields under other names (a flag, an address) tells it with `under`.
 */
export class FieldError extends InputError {
  /** Says which field of what it is, what was expected and what was found. */
  constructor(
    /** What is called so by whoever gave it: `steps`, `options.eta`. */
    readonly field: string,
    /** What would have been right, as a noun: "a number from 0 to 1". */
    readonly expected: string,
    /** The value that was there; undefined where there was none. */
    readonly found: unknown,
    /** The file or object that the field is in, where it has a name. */
    readonly where?: string,
    options?: ErrorOptions,
  ) {
    const place = where === undefined ? field : `${where}: ${field}`;
    super(`${place}: expected ${expected}, found ${shown(found)}`, options);
  }

  /** The same of a field by another name. */
  under(field: string, where: string | undefined = this.where): FieldError {
    return new FieldError(field, this.expected, this.found, where, { cause: this });
  }
}

/** Longer values are cut: a message is one line. */
const MAX_SHOWN = 200;

/** A value as messages show it. */
export function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "number") return String(value);
  if (typeof value === "function") {
    return /^class\b/.test(String(value)) ? "a class" : "a function";
  }
  const text = jsonOf(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
