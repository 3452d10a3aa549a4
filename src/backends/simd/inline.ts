/**
 * Our own WebAssembly in the calling thread, for edge runtimes, browsers and tests. Touches neither
 * Deno nor node.
 *
 * @example
 * ```ts ignore
 * import kernels from "./relaxed.wasm"; // a WebAssembly.Module on Cloudflare
 * const model = await load("digits", { backend: simdInline({ module: kernels }) });
 * ```
 */
import { inlineCrew } from "../../engine/inline_crew.ts";
import type { StreamingBackend } from "../backend.ts";
import { openSimdSession } from "./session.ts";

/** What {@link simdInline} takes. */
export interface SimdInlineOptions {
  /** The kernels compiled ahead, where bytes may not be compiled (Cloudflare). */
  readonly module?: WebAssembly.Module;
  /** The most memory that intermediate results of a batch take; default 16 MiB. */
  readonly arenaBytes?: number;
  /**
   * Keeps weights as small as they are stored (16-bit ones in 16 bits) and widens and transforms them
   * whenever they are used: the same bits in a quarter of the memory, or an eighth, and up to twice the
   * work. A number does so for networks whose weights would take more bytes than that.
   */
  readonly compact?: boolean | number;
}

/** A Backend in this thread. A run holds the thread until it is done. */
export function simdInline(
  { module, arenaBytes = 16 << 20, compact }: SimdInlineOptions = {},
): StreamingBackend {
  const crew = inlineCrew(module);
  const compactAbove = compact === true ? 0 : compact || Infinity;
  return {
    name: "simd",
    createSession: (graph, weights) =>
      openSimdSession(graph, weights, crew, { arenaBytes, compactAbove }),
    createStreamedSession: (graph, weights) =>
      openSimdSession(graph, weights, crew, { arenaBytes, compactAbove }),
  };
}
