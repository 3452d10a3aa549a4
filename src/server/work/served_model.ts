/** What the server needs of weights: a network, and what names it in an ETag. */
import type { Network } from "../../model/network.ts";

/** A network that can be served; `load()` gives one. */
export interface ServedModel extends Network {
  /** SHA-256 in hex of everything in the weights that a picture depends on. */
  readonly hash: string;
  /** The engine's name: another engine may round differently. */
  readonly backend: string;
  /** Called when the server lets go of a network that broke. */
  close?(): Promise<void>;
}

/** The names of a model's classes, without the null label. */
export function labelNames(model: Network): readonly string[] {
  return model.labels ?? [];
}

/** The class that a label's name or index stands for; undefined where there is none. */
export function labelIndex(model: Network, label: string | number): number | undefined {
  const labels = labelNames(model);
  const byName = labels.indexOf(String(label));
  if (byName >= 0) return byName;
  const index = /^\d+$/.test(String(label)) ? Number(label) : NaN;
  return index < labels.length ? index : undefined;
}
