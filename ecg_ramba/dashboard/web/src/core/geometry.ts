/**
 * Where a sample is on the screen, and back. Everything that is drawn and every calliper goes through these
 * functions, so a figure read off the paper is the figure in the file, in every layout, speed, gain and zoom.
 *
 * Units: x and y CSS pixels, time seconds from the recording's begin, amplitude millivolts.
 */

export interface Scale {
  /** CSS pixels a millimetre of paper, zoom included. */
  pxPerMm: number;
  /** Millimetres a second. */
  speed: number;
  /** Millimetres a millivolt. */
  gain: number;
}

/** A stretch of one lead on the paper. */
export interface Cell {
  lead: string;
  row: number;
  column: number;
  /** Left edge and width. */
  x: number;
  width: number;
  /** Where 0 mV is, and the band that the cell owns. */
  baseline: number;
  top: number;
  height: number;
  /** Seconds at the left and right edge. */
  start: number;
  stop: number;
}

/** A CSS pixel is 1/96 inch by definition; real screens differ, which `calibration` corrects. */
export const CSS_PX_PER_MM = 96 / 25.4;

export const xOfTime = (cell: Cell, scale: Scale, time: number): number =>
  cell.x + (time - cell.start) * scale.speed * scale.pxPerMm;

export const timeOfX = (cell: Cell, scale: Scale, x: number): number =>
  cell.start + (x - cell.x) / (scale.speed * scale.pxPerMm);

export const yOfMv = (cell: Cell, scale: Scale, mv: number): number => cell.baseline - mv * scale.gain * scale.pxPerMm;

export const mvOfY = (cell: Cell, scale: Scale, y: number): number =>
  (cell.baseline - y) / (scale.gain * scale.pxPerMm);

/** The sample nearest to a time, within the recording. */
export function sampleOfTime(time: number, rate: number, samples: number): number {
  return Math.max(0, Math.min(samples - 1, Math.round(time * rate)));
}

/** The cell under a point; the nearest band of the column where rows do not reach. */
export function cellAt(cells: readonly Cell[], x: number, y: number): Cell | null {
  let best: Cell | null = null;
  let distance = Infinity;
  for (const cell of cells) {
    if (x < cell.x || x >= cell.x + cell.width) continue;
    const off = y < cell.top ? cell.top - y : y > cell.top + cell.height ? y - cell.top - cell.height : 0;
    if (off < distance) [best, distance] = [cell, off];
  }
  return best;
}

/** The cell that shows a lead at a time: in 3 x 4 a lead is on the paper for a quarter of it only. */
export function cellShowing(cells: readonly Cell[], lead: string, time: number): Cell | null {
  const own = cells.filter((cell) => cell.lead === lead);
  return own.find((cell) => time >= cell.start && time <= cell.stop) ?? own[0] ?? null;
}

/** Every cell that shows any of what lies between two points of a lead: lead II and the rhythm strip may both. */
export function cellsOf(
  cells: readonly Cell[],
  span: { lead: string; a: { time: number }; b: { time: number }; marching?: boolean },
): Cell[] {
  const [from, to] = [Math.min(span.a.time, span.b.time), Math.max(span.a.time, span.b.time)];
  return cells.filter(
    (cell) => cell.lead === span.lead && (span.marching || (to >= cell.start && from <= cell.stop)),
  );
}
