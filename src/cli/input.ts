/** Files that a command is given. */
import { InputError } from "../errors.ts";
import { reasonOf } from "./reasons.ts";

/**
 * A file's bytes.
 * @param what how the user gave it, for messages: "--from", "image"
 * @throws InputError that says why it cannot be read
 */
export async function readInput(what: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (path.trim() === "") throw new InputError(`${what}: expected a file's path, found nothing`);
  if (/^https?:\/\//.test(path)) {
    throw new InputError(`${what} ${path}: expected a file, found an address; download it first`);
  }
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw new InputError(`${what} ${path}: cannot be read: ${reasonOf(error)}`);
  }
}
