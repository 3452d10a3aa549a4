/** Samples above the pictures nearest to them, as a picture. */
import { labelledGrid } from "../image/labelled_grid.ts";
import type { Pixels } from "../image/pixels.ts";
import { enlarge } from "../image/resize.ts";
import type { Pair } from "./nearest.ts";

/** Pairs side by side. */
const COLUMNS = 16;
/** Pixels across that a picture is enlarged to, so that it can be looked at. */
const LOOKED_AT = 64;

/**
 * Two bands: the first seeds as they come, then those that come nearest to a picture, where a copy
 * would be. In each the samples are above.
 */
export function nearestSheet(pairs: readonly Pair[]): Pixels {
  const first = pairs.slice(0, COLUMNS);
  const closest = pairs.toSorted((a, b) => a.distance - b.distance).slice(0, COLUMNS);
  const band = (of: readonly Pair[]) => [
    of.map(({ sample }) => sample),
    of.map(({ nearest }) => nearest),
  ];
  const sheet = labelledGrid([...band(first), ...band(closest)], {
    rows: ["first seeds", "nearest", "closest", "nearest"],
    columns: first.map(() => ""),
    gap: 2,
  });
  return enlarge(sheet, Math.max(1, Math.floor(LOOKED_AT / first[0].sample.width)));
}
