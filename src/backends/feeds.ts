/** What every session says of runs that it does not start. */
import type { Tensors } from "./backend.ts";

export function closedMessage(backend: string): string {
  return `${backend}: the session is closed`;
}

/** Rejects feeds that the engine would refuse with an error code, or read beyond. */
export function checkFeeds(backend: string, inputNames: readonly string[], feeds: Tensors): void {
  const missing = inputNames.filter((name) => !Object.hasOwn(feeds, name));
  const unknown = Object.keys(feeds).filter((name) => !inputNames.includes(name));
  if (missing.length || unknown.length) {
    throw new Error(
      `${backend}: expected the inputs ${inputNames.join(", ")}, found ${
        Object.keys(feeds).join(", ") || "none"
      }`,
    );
  }
  for (const [name, { data, dims }] of Object.entries(feeds)) {
    const size = dims.reduce((a, b) => a * b, 1);
    if (size !== data.length) {
      throw new Error(
        `${backend}: input "${name}" has ${data.length} elements, its shape [${dims}] needs ${size}`,
      );
    }
  }
}
