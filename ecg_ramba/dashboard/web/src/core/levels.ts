/** Level of detail: as many samples as the screen can tell apart, and the tiles that they come in. */

/** Values a tile has: samples at level 1, pairs above. */
export const TILE = 16384;

/**
 * The coarsest level that still has a pair a device pixel.
 *
 * @param levels  samples a pair, ascending, the first 1
 * @param perPixel  samples a device pixel
 */
export function levelFor(levels: readonly number[], perPixel: number): number {
  let chosen = levels[0] ?? 1;
  for (const level of levels) if (level <= perPixel) chosen = level;
  return chosen;
}

/** First and last tile of a stretch of samples, within the recording; none where it is outside. */
export function tilesOf(start: number, stop: number, level: number, samples: number): [number, number] | null {
  const first = Math.max(0, Math.floor(start));
  const last = Math.min(samples, Math.ceil(stop));
  if (last <= first) return null;
  const span = TILE * level;
  return [Math.floor(first / span), Math.floor((last - 1) / span)];
}
