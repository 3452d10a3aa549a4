/**
 * Something the user can put right: a wrong option, a damaged file, an impossible combination. The
 * message says what was expected, what was found and what to do. The command line prints it as one
 * line and exits with 2; the server answers 4xx.
 */
export class InputError extends Error {
  override readonly name: string = "InputError";
}
