/** Beats and the begins and ends of P, QRS and T, as the server found them, in the lead it found them in. */

import { type Cell, type Scale, xOfTime } from "../core/geometry";
import type { LaidOut } from "../core/layout";
import type { Marks } from "../view/store";
import type { Palette } from "./palette";

/** Index of the first beat at or after a time; beats are in order. */
export function firstFrom(beats: readonly { time: number }[], time: number): number {
  let [low, high] = [0, beats.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((beats[middle] as { time: number }).time < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function drawMarks(context: CanvasRenderingContext2D, page: LaidOut, marks: Marks, colours: Palette): void {
  for (const cell of page.cells) {
    if (cell.lead === marks.lead) drawBeats(context, cell, page.scale, marks, colours);
    const lead = marks.delineation?.lead ?? marks.lead;
    if (cell.lead === lead && marks.delineation) drawWaves(context, cell, page.scale, marks, colours);
  }
}

function drawBeats(
  context: CanvasRenderingContext2D,
  cell: Cell,
  scale: Scale,
  marks: Marks,
  colours: Palette,
): void {
  const top = cell.top + cell.height * 0.06;
  for (let i = firstFrom(marks.beats, cell.start); i < marks.beats.length; i++) {
    const beat = marks.beats[i];
    if (!beat || beat.time > cell.stop) break;
    const x = xOfTime(cell, scale, beat.time);
    context.fillStyle = beat.abnormal_rr ? colours.abnormal : colours.mark;
    context.beginPath();
    if (beat.abnormal_rr) context.rect(x - 3.5, top, 7, 7); // another shape too, not another colour only
    else {
      context.moveTo(x - 3.5, top);
      context.lineTo(x + 3.5, top);
      context.lineTo(x, top + 6.5);
    }
    context.fill();
  }
}

function drawWaves(
  context: CanvasRenderingContext2D,
  cell: Cell,
  scale: Scale,
  marks: Marks,
  colours: Palette,
): void {
  const found = marks.delineation;
  // closer than this the ticks only hide the trace
  if (!found || scale.speed * scale.pxPerMm < 60) return;
  const bottom = cell.top + cell.height - 3;
  context.strokeStyle = colours.mark;
  context.fillStyle = colours.mark;
  context.lineWidth = 1;
  context.font = "10px ui-sans-serif, system-ui, sans-serif";
  const spans: [number[], number[], string][] = [
    [found.p_onsets, found.p_offsets, "P"],
    [found.qrs_onsets, found.qrs_offsets, "QRS"],
    [found.t_peaks, found.t_offsets, "T"],
  ];
  context.beginPath();
  for (const [onsets, offsets, name] of spans) {
    let j = 0;
    for (const onset of onsets) {
      while (j < offsets.length && (offsets[j] as number) < onset) j++;
      const offset = offsets[j];
      if (onset > cell.stop) break;
      if (offset === undefined || offset < cell.start || offset - onset > 0.6) continue;
      const [x0, x1] = [xOfTime(cell, scale, onset), xOfTime(cell, scale, offset)];
      context.moveTo(x0, bottom - 5);
      context.lineTo(x0, bottom);
      context.lineTo(x1, bottom);
      context.lineTo(x1, bottom - 5);
      if (x1 - x0 > 22) context.fillText(name, (x0 + x1) / 2 - 4 * name.length * 0.8, bottom - 3);
    }
  }
  context.stroke();
}
