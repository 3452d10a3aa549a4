/** Data that comes as an npm package. */
import { fileURLToPath } from "node:url";
import { InputError } from "../../errors.ts";

/** The folder on disc of `npm:NAME@VERSION/PATH`, downloaded into Deno's cache where it is not yet. */
export async function npmFolder(specifier: string): Promise<string> {
  const match = /^npm:((?:@[^/@]+\/)?[^/@]+@\d+\.\d+\.\d+)(?:\/(.*))?$/.exec(specifier);
  if (!match) {
    throw new InputError(
      `data ${specifier}: expected npm:NAME@VERSION/FOLDER with an exact version`,
    );
  }
  const manifest = `npm:${match[1]}/package.json`;
  try {
    // Importing the manifest brings the package here without running any of its code.
    await import(manifest, { with: { type: "json" } });
    return fileURLToPath(new URL(match[2] ?? ".", import.meta.resolve(manifest)));
  } catch (error) {
    throw new InputError(
      `data ${specifier}: the package could not be read (${(error as Error).message})`,
    );
  }
}
