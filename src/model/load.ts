/** From a name, a path or an address to a model that runs. */
import type { Backend, SessionOptions } from "../backend/backend.ts";
import { InputError } from "../errors.ts";
import { type Files, filesAt } from "./files.ts";
import { readFolder } from "./folder.ts";
import { type Model, openModel } from "./model.ts";

/** Weights that come with denoise, by name. */
export const builtInWeights: Readonly<Record<string, URL>> = {
  digits: new URL("../../weights/digits/", import.meta.url),
};

/** The engines by name; see {@link LoadOptions.backend}. */
export type BackendName = "auto" | "wasm" | "webgpu" | "native";

/** What {@link load} takes besides the weights. */
export interface LoadOptions extends SessionOptions {
  /** The engine: a name, or a Backend that was imported statically. Default "auto". */
  backend?: BackendName | Backend;
  /** Told in a sentence when "auto" had to fall back. */
  onNotice?: (notice: string) => void;
}

/**
 * Loads weights into an engine.
 *
 * @param source a built-in name ("digits"), a folder, an address, or {@link Files}
 * @throws InputError naming the file, key or tensor that does not fit
 *
 * ```ts
 * import { load } from "../../mod.ts";
 * await using model = await load("digits");
 * console.log(model.shape);
 * ```
 */
export async function load(
  source: string | URL | Files,
  { backend = "auto", onNotice, ...session }: LoadOptions = {},
): Promise<Model> {
  const [engine, folder] = await Promise.all([
    typeof backend === "string" ? backendByName(backend, onNotice) : backend,
    readFolder(typeof source === "string" || source instanceof URL ? locate(source) : source),
  ]);
  return openModel(folder, engine, session);
}

async function backendByName(name: BackendName, onNotice?: (notice: string) => void) {
  const select: typeof import("../backend/select.ts") = await import(
    new URL("../backend/select.ts", import.meta.url).href
  );
  return select.backendByName(name, { onNotice });
}

/** The files that a name, a path or an address stands for. */
export function locate(source: string | URL): Files {
  if (source instanceof URL) return filesAt(source);
  const builtIn = Object.hasOwn(builtInWeights, source) ? builtInWeights[source] : undefined;
  if (builtIn) return filesAt(builtIn);
  if (/^(https?|file):\/\//.test(source)) return filesAt(new URL(source));
  if (source === "") throw new InputError("expected a name, folder or address of weights");
  const cwd = new URL(`file://${encodeURI(Deno.cwd().replaceAll("\\", "/"))}/`);
  return filesAt(new URL(encodeURI(source).replaceAll("?", "%3F").replaceAll("#", "%23"), cwd));
}
