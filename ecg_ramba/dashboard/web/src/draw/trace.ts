/** The traces: samples where the screen can tell them apart, else minimum and maximum a pixel. */

import { type Cell, CSS_PX_PER_MM, type Scale, xOfTime } from "../core/geometry";
import { levelFor, TILE, tilesOf } from "../core/levels";
import type { Tiles } from "../signal/tiles";

/** Samples a pair that suit a scale. */
export function levelOf(tiles: Tiles, scale: Scale, ratio: number): number {
  const perPixel = tiles.info.rate / (scale.speed * scale.pxPerMm * ratio);
  return levelFor(tiles.info.levels, perPixel);
}

/**
 * Add a cell's trace to the current path.
 *
 * @returns whether all of it was here; what is not is drawn from a coarser level if that is
 */
export function addTrace(
  context: CanvasRenderingContext2D,
  tiles: Tiles,
  cell: Cell,
  scale: Scale,
  level: number,
): boolean {
  const { rate, samples, levels } = tiles.info;
  const start = Math.max(0, Math.floor(cell.start * rate) - level);
  const stop = Math.min(samples, Math.ceil(cell.stop * rate) + level + 1);
  const range = tilesOf(start, stop, level, samples);
  if (!range) return true;
  let whole = true;
  for (let tile = range[0]; tile <= range[1]; tile++) {
    const from = Math.max(start, tile * TILE * level);
    // one sample into the next tile, so that the line does not break between them
    const to = Math.min(stop, (tile + 1) * TILE * level);
    const values = tiles.get(cell.lead, level, tile);
    if (values) {
      addRun(context, values, tile, level, from, to, cell, scale, rate);
      continue;
    }
    whole = false;
    for (const coarser of levels) {
      if (coarser <= level) continue;
      const wide = Math.floor(from / (TILE * coarser));
      const found = tiles.get(cell.lead, coarser, wide, false);
      if (found) {
        addRun(context, found, wide, coarser, from, to, cell, scale, rate);
        break;
      }
    }
  }
  return whole;
}

function addRun(
  context: CanvasRenderingContext2D,
  values: Float32Array,
  tile: number,
  level: number,
  from: number,
  to: number,
  cell: Cell,
  scale: Scale,
  rate: number,
): void {
  const origin = tile * TILE * level;
  const first = Math.max(0, Math.floor((from - origin) / level));
  const last = Math.ceil((to - origin) / level);
  const perValue = (level / rate) * scale.speed * scale.pxPerMm;
  const perMv = scale.gain * scale.pxPerMm;
  // a pair stands for the samples it covers: draw it in their middle
  let x = xOfTime(cell, scale, (origin + first * level + (level - 1) / 2) / rate);
  let open = false;
  if (level === 1) {
    for (let i = first; i < last && i < values.length; i++, x += perValue) {
      const value = values[i] as number;
      if (value !== value) open = false;
      else if (open) context.lineTo(x, cell.baseline - value * perMv);
      else {
        context.moveTo(x, cell.baseline - value * perMv);
        open = true;
      }
    }
    return;
  }
  let up = true;
  for (let i = first; i < last && 2 * i + 1 < values.length; i++, x += perValue) {
    const low = values[2 * i] as number;
    const high = values[2 * i + 1] as number;
    if (low !== low) {
      open = false;
      continue;
    }
    const one = cell.baseline - (up ? low : high) * perMv;
    const two = cell.baseline - (up ? high : low) * perMv;
    if (open) context.lineTo(x, one);
    else context.moveTo(x, one);
    // less than a third of a pixel apart is one point
    if (Math.abs(two - one) > 0.3) {
      context.lineTo(x, two);
      up = !up;
    }
    open = true;
  }
}

export const lineWidth = (scale: Scale): number => Math.min(1.8, 1.05 * Math.sqrt(scale.pxPerMm / CSS_PX_PER_MM));
