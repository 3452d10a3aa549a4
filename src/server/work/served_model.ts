/** What the server needs of weights: a network, and what names it in an ETag. */
import type { Network } from "../../model/network.ts";
import { labelsMixed } from "../../recipe/mix.ts";

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

/** The class that a label's name, in whatever Unicode form, or index stands for; undefined where there is none. */
export function labelIndex(model: Network, label: string | number): number | undefined {
  const labels = labelNames(model);
  const name = String(label).normalize("NFC");
  const byName = labels.findIndex((known) => known.normalize("NFC") === name);
  if (byName >= 0) return byName;
  const index = /^\d{1,9}$/.test(name) ? Number(name) : NaN;
  return index < labels.length ? index : undefined;
}

/** One class or two with a plus between, as they are read again: indices where names would be taken otherwise. */
export function labelsText(model: Network, indices: readonly number[]): string {
  const text = indices.map((index) => labelText(model, index)).join("+");
  if (indices.length === 1) return text;
  const again = mixedLabels(model, text)?.map((label) => labelIndex(model, label));
  return again?.join() === indices.join() ? text : indices.join("+");
}

/** The two classes that a text names with a plus between. @param source in addresses a plus is a space */
export function mixedLabels(model: Network, text: string, source: "address" | "json" = "json") {
  const known = (label: string) => labelIndex(model, label) !== undefined;
  return labelsMixed(text, known, source === "address" ? /[+ ]/g : undefined);
}

/** What {@link labelIndex} reads as this class: its name, or its index where that name is another's. */
export function labelText(model: Network, index: number): string {
  const name = labelNames(model)[index];
  return name !== "" && labelIndex(model, name) === index ? name : String(index);
}
