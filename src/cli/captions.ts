/** Words beside pictures: how large both are. */

/** Small pictures are enlarged to about this many pixels across, so that words fit beside them. */
export const CAPTIONED_WIDTH = 112;

/** Pixels a dot of the letters beside pictures of a width. */
export function captionScale(width: number): number {
  return width < 96 ? 1 : 2;
}
