/** Dropout that is a function of its keys: the same keys leave out the same units, on any engine. */
import { known, type Shape, type Value } from "../value.ts";
import { mul } from "./elementwise.ts";

export interface DropoutOptions {
  /** The share of units left out, 0 ≤ rate < 1. */
  readonly rate: number;
  /** Tells apart the places in a network that share keys. */
  readonly layer: number;
}

/**
 * 0 for units left out and 1/(1 − rate) for the others. The unit at index i of picture n is left out
 * where a hash of (keys[n], layer, i) is below rate·2³²; no picture's mask depends on the batch.
 * @param keys [N] int32, one a picture, new ones for every step
 * @param shape [N, …]
 */
export function dropoutMask(keys: Value, shape: Shape, { rate, layer }: DropoutOptions): Value {
  if (!(rate >= 0 && rate < 1)) throw new Error(`expected a dropout rate in [0, 1), found ${rate}`);
  shape.slice(1).forEach((d) => known(d, shape));
  return keys.graph.add("dropoutMask", [keys], shape, { rate, layer });
}

/** x with units left out at random and the others scaled up (Srivastava et al. 2014). */
export function dropout(x: Value, keys: Value, options: DropoutOptions): Value {
  return options.rate === 0 ? x : mul(x, dropoutMask(keys, x.shape, options));
}
