/** Loads weights by name, path or address onto an engine. */
import type { Backend, SessionOptions } from "../backends/backend.ts";
import type { BackendName } from "../backends/names.ts";
import type { DownloadProgress } from "../weights/find/download.ts";
import type { Files } from "../weights/files.ts";
import { locate, type LocateOptions } from "../weights/find/locate.ts";
import type { Model } from "./model.ts";
import { openWeights, readWeights } from "./open.ts";

export type { BackendName };

/** What {@link load} takes besides the weights. */
export interface LoadOptions extends SessionOptions {
  /** The engine: a name, or a Backend that was imported statically. Default "auto". */
  backend?: BackendName | Backend;
  /** Told in a sentence when "auto" had to fall back. */
  onNotice?: (notice: string) => void;
  /** Told of every piece that arrives while weights are downloaded. */
  onProgress?: (progress: DownloadProgress) => void;
  /** The largest file that is downloaded, in bytes; default 4 GiB. */
  maxBytes?: number;
  /** Stops a download. */
  signal?: AbortSignal;
  /** Asks for weights anew that were downloaded before: the owner may have changed them. */
  refresh?: boolean;
  /** diffusers' variant of the weights: "fp16", "bf16", "ema"; default the one without a name. */
  variant?: string;
  /** A folder (as `source`) whose configs stand in where the weights come without any. */
  configs?: string | URL | Files;
}

/**
 * Loads weights into an engine.
 *
 * @param source a built-in name ("digits"), a folder or a file (.zip, .safetensors, .npz, .onnx;
 * PyTorch's .bin, .pt, .pth, .ckpt), the address of one, `hf:owner/name`, with `#sha256=…` behind it
 * if it is to be checked; or {@link Files}. Downloads are kept on disc.
 * @throws InputError naming the file, key or tensor that does not fit
 *
 * @example
 * ```ts
 * import { load } from "@denoise/denoise";
 * await using model = await load("digits");
 * console.log(model.shape);
 * ```
 */
export async function load(
  source: string | URL | Files,
  options: LoadOptions = {},
): Promise<Model> {
  const { backend = "auto", onNotice, onProgress, maxBytes, signal, ...others } = options;
  const { refresh, variant, configs, ...session } = others;
  const downloads = { onProgress, maxBytes, signal, refresh };
  const start = async () => {
    const engine = typeof backend === "string" ? await backendByName(backend, onNotice) : backend;
    engine.prepare?.(session);
    return engine;
  };
  const read = () => readSource(source, variant, configs, downloads);
  const starting = start();
  try {
    const [engine, weights] = await Promise.all([starting, read()]);
    if ("notices" in weights) weights.notices.forEach((notice) => onNotice?.(notice));
    return await openWeights(weights, engine, session, read);
  } catch (error) {
    // Threads that were started for these weights would stay for ever.
    (await starting.catch(() => undefined))?.release?.();
    throw error;
  }
}

type Source = string | URL | Files;

async function readSource(
  source: Source,
  variant: string | undefined,
  configs: Source | undefined,
  options: LocateOptions,
) {
  const filesOf = (place: Source) =>
    typeof place === "string" || place instanceof URL ? locate(place, options) : place;
  const files = await filesOf(source);
  return readWeights(files, {
    variant,
    configs: configs === undefined ? undefined : await filesOf(configs),
  });
}

async function backendByName(name: BackendName, onNotice?: (notice: string) => void) {
  const select: typeof import("../backends/select.ts") = await import(
    new URL("../backends/select.ts", import.meta.url).href
  );
  return select.backendByName(name, { onNotice });
}
