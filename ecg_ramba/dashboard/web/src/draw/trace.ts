/** The traces: samples where the screen can tell them apart, else minimum and maximum a pixel. */

import { type Cell, CSS_PX_PER_MM, type Scale, xOfTime } from "../core/geometry";
import { levelFor, TILE, tilesOf } from "../core/levels";
import type { Tiles } from "../signal/tiles";

/** Samples a pair that suit a scale. */
export function levelOf(tiles: Tiles, scale: Scale, ratio: number): number {
  const perPixel = tiles.info.rate / (scale.speed * scale.pxPerMm * ratio);
  return levelFor(tiles.info.levels, perPixel);
}

/** What a path is made with: a canvas' current path or a Path2D. */
export interface Pen {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
}

/** Uppermost and lowest y of a trace. */
export interface Bounds {
  low: number;
  high: number;
}

/**
 * Add a cell's trace to a path.
 *
 * @returns whether all of it was here; what is not is drawn from a coarser level if that is
 */
export function addTrace(
  pen: Pen,
  tiles: Tiles,
  cell: Cell,
  scale: Scale,
  level: number,
  bounds: Bounds = { low: Infinity, high: -Infinity },
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
      addRun(pen, values, tile, level, from, to, cell, scale, rate, bounds);
      continue;
    }
    whole = false;
    for (const coarser of levels) {
      if (coarser <= level) continue;
      const wide = Math.floor(from / (TILE * coarser));
      const found = tiles.get(cell.lead, coarser, wide, false);
      if (found) {
        addRun(pen, found, wide, coarser, from, to, cell, scale, rate, bounds);
        break;
      }
    }
  }
  return whole;
}

function addRun(
  pen: Pen,
  values: Float32Array,
  tile: number,
  level: number,
  from: number,
  to: number,
  cell: Cell,
  scale: Scale,
  rate: number,
  bounds: Bounds,
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
      const y = cell.baseline - (values[i] as number) * perMv;
      if (y !== y) {
        open = false; // NaN: not recorded
        continue;
      }
      if (open) pen.lineTo(x, y);
      else pen.moveTo(x, y);
      open = true;
      if (y < bounds.low) bounds.low = y;
      if (y > bounds.high) bounds.high = y;
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
    bounds.low = Math.min(bounds.low, one, two);
    bounds.high = Math.max(bounds.high, one, two);
    if (open) pen.lineTo(x, one);
    else pen.moveTo(x, one);
    // less than a third of a pixel apart is one point
    if (Math.abs(two - one) > 0.3) {
      pen.lineTo(x, two);
      up = !up;
    }
    open = true;
  }
}

export const lineWidth = (scale: Scale): number => Math.min(1.8, 1.05 * Math.sqrt(scale.pxPerMm / CSS_PX_PER_MM));
