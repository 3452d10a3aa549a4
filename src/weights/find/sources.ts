/** Weights by the names that requests use for them, and which are meant where none are named. */
import { InputError } from "../../errors.ts";
import { environment } from "./cache.ts";

/** What draws where nobody says with what: heroes, in four evaluations a picture. */
export const DEFAULT_WEIGHTS = "heroes-4";

/** The variable that names the weights of a deployment: sources or NAME=SOURCE, separated by commas. */
export const WEIGHTS_VARIABLE = "DENOISE_WEIGHTS";

/** What {@link WEIGHTS_VARIABLE} names, in its order; nothing where it is not set, or empty. */
export function deployedSources(): string[] {
  const named = (environment(WEIGHTS_VARIABLE) ?? "").split(",").map((text) => text.trim());
  return named.filter((text) => text !== "");
}

/** What draws pictures where no weights are named: the deployment's, else the heroes in few steps. */
export function defaultSources(): string[] {
  const deployed = deployedSources();
  return deployed.length > 0 ? deployed : [DEFAULT_WEIGHTS];
}

/** What `serve` offers where no weights are named: the heroes in few steps, and their teacher, which restores. */
export function servedSources(): string[] {
  const deployed = deployedSources();
  return deployed.length > 0 ? deployed : [DEFAULT_WEIGHTS, "heroes"];
}

/** The weights of a command that draws pictures and is not told with which. */
export function defaultSource(): string {
  return splitName(defaultSources()[0]).source;
}

/**
 * The weights of a command that wants to choose sampler and steps, and is not told with which: the
 * deployment's, else the heroes, which answer at every timestep.
 */
export function studySource(): string {
  return deployedSources().length > 0 ? defaultSource() : "heroes";
}

/**
 * Sources by name: "faces=./faces/" gives its own, others are called by the last part of their place.
 * @throws InputError where two have one name
 */
export function sourcesByName(texts: readonly string[]): Map<string, string> {
  const sources = new Map<string, string>();
  for (const text of texts) {
    const { name, source } = splitName(text);
    if (sources.has(name)) {
      throw new InputError(
        `weights: "${sources.get(name)}" and "${source}" are both called ${name}; give each its ` +
          "own name with NAME=SOURCE",
      );
    }
    sources.set(name, source);
  }
  return sources;
}

function splitName(text: string): { name: string; source: string } {
  const [, name, source] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
  return name ? { name, source } : { name: nameOf(text), source: text };
}

/** "hf:owner/faces@v1#sha256=…" is called faces, "https://example.org/cats.zip?token=1" cats. */
function nameOf(source: string): string {
  const place = source.replace(/[#?].*$/, "").replace(/^(hf:[^@]*)@.*$/, "$1");
  const last = place.split(/[\\/]/).findLast((part) => part !== "") ?? "";
  return last.replace(/\.\w+$/, "").replace(/[^\w.-]/g, "-") || "weights";
}
