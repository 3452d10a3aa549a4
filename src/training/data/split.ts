/** Splits held-out pictures from a data set. */
import { InputError } from "../../errors.ts";
import type { DataSet } from "./data_set.ts";

/**
 * Keeps every ⌊1/share⌋-th picture out, so that both parts see every class and a set that grows at
 * its end keeps its parts. A share of 0 keeps nothing out.
 */
export function splitData(data: DataSet, share: number): { kept: DataSet; heldOut: DataSet } {
  const every = share > 0 ? Math.max(2, Math.floor(1 / share)) : Infinity;
  const out: number[] = [], kept: number[] = [];
  for (let i = 0; i < data.length; i++) ((i + 1) % every === 0 ? out : kept).push(i);
  if (share > 0 && out.length === 0) {
    throw new InputError(`holdout: a share of ${share} of ${data.length} pictures is none`);
  }
  return { kept: subset(data, kept), heldOut: subset(data, out) };
}

/** The pictures at these indices, as a set of its own. */
export function subset(data: DataSet, indices: readonly number[]): DataSet {
  return {
    ...data,
    length: indices.length,
    labels: data.labels && Int32Array.from(indices, (i) => data.labels![i]),
    picture: (i, out) => data.picture(indices[i], out),
  };
}
