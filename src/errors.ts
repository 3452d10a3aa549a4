/**
 * Something the user can put right: a wrong option, a damaged file, an impossible combination. The
 * message says what was expected, what was found and what to do. The command line prints it as one
 * line and exits with 2; the server answers 4xx.
 */
export class InputError extends Error {
  /** Tells it from other errors across realms. */
  override readonly name: string = "InputError";
}
