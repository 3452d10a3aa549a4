/** What the system says of a file, in words that help. */

/** Why a file or folder could not be used. */
export function reasonOf(error: unknown): string {
  const { errors } = Deno;
  if (error instanceof errors.NotFound) return "there is no such file or folder";
  if (error instanceof errors.IsADirectory) return "it is a folder";
  if (error instanceof errors.NotADirectory) return "part of its path is a file, not a folder";
  if (error instanceof errors.AlreadyExists) return "a file of that name is there";
  if (error instanceof errors.PermissionDenied) return "the system does not permit it";
  return error instanceof Error ? error.message : String(error);
}
