/** Digital callipers: two points on one lead, in the recording's own units. Nothing here knows of pixels but the snap. */

import { type Cell, mvOfY, type Scale, sampleOfTime, timeOfX, xOfTime, yOfMv } from "./geometry";

export interface Point {
  time: number;
  mv: number;
}

export interface Calliper {
  id: number;
  lead: string;
  a: Point;
  b: Point;
  /** Whether the interval is repeated along the strip. */
  marching: boolean;
}

export interface Reading {
  /** Milliseconds, never negative. */
  ms: number;
  /** Beats a minute if the interval is one of RR; null for an interval of none. */
  rate: number | null;
  /** Millivolts from the earlier to the later point. */
  mv: number;
}

export function reading(calliper: Pick<Calliper, "a" | "b">): Reading {
  const [first, second] = calliper.a.time <= calliper.b.time ? [calliper.a, calliper.b] : [calliper.b, calliper.a];
  const ms = (second.time - first.time) * 1000;
  return { ms, rate: ms > 0 ? 60000 / ms : null, mv: second.mv - first.mv };
}

/** Where the legs of marching callipers stand between two times, the two set by hand included. */
export function legs(calliper: Pick<Calliper, "a" | "b">, start: number, stop: number): number[] {
  const from = Math.min(calliper.a.time, calliper.b.time);
  const step = Math.abs(calliper.b.time - calliper.a.time);
  if (!(step > 0)) return from >= start && from <= stop ? [from] : [];
  const slack = step * 1e-9;
  const found: number[] = [];
  for (let n = Math.ceil((start - from - slack) / step); from + n * step <= stop + slack; n++) {
    found.push(from + n * step);
  }
  return found;
}

export interface Trace {
  /** Sample at full rate; NaN where it is missing or not here yet. */
  at(sample: number): number;
  rate: number;
  samples: number;
}

/** The point under the pointer, as it is. */
export function free(cell: Cell, scale: Scale, x: number, y: number): Point {
  return { time: timeOfX(cell, scale, x), mv: mvOfY(cell, scale, y) };
}

/**
 * The sample whose place on the screen is nearest to the pointer, within `reach` pixels to each side; without one (a
 * gap in the signal) the free point. Near the top of an R wave that is its top.
 */
export function snapped(cell: Cell, scale: Scale, x: number, y: number, trace: Trace, reach = 12): Point {
  const first = sampleOfTime(timeOfX(cell, scale, x - reach), trace.rate, trace.samples);
  const last = sampleOfTime(timeOfX(cell, scale, x + reach), trace.rate, trace.samples);
  let best: Point | null = null;
  let distance = Infinity;
  for (let sample = first; sample <= last; sample++) {
    const mv = trace.at(sample);
    if (Number.isNaN(mv)) continue;
    const time = sample / trace.rate;
    const across = xOfTime(cell, scale, time) - x;
    const along = yOfMv(cell, scale, mv) - y;
    const squared = across * across + along * along;
    if (squared < distance) [best, distance] = [{ time, mv }, squared];
  }
  return best ?? free(cell, scale, x, y);
}

/** A step of whole samples along the trace, for the keyboard; the amplitude follows the trace where it is known. */
export function stepped(point: Point, steps: number, trace: Trace, snap: boolean): Point {
  const sample = sampleOfTime(point.time + steps / trace.rate, trace.rate, trace.samples);
  const mv = snap ? trace.at(sample) : point.mv;
  return { time: sample / trace.rate, mv: Number.isNaN(mv) ? point.mv : mv };
}
