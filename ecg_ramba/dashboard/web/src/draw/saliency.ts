/** Saliency over the waveform: a wash whose strength is the value, and a curve, so that it is not colour alone. */

import type { Saliency } from "../api/types";
import { type Cell, type Scale, xOfTime } from "../core/geometry";
import type { LaidOut } from "../core/layout";
import type { Palette } from "./palette";

export function drawSaliency(
  context: CanvasRenderingContext2D,
  page: LaidOut,
  saliency: Saliency,
  colours: Palette,
): void {
  for (const cell of page.cells) {
    const values = saliency.leads?.[cell.lead] ?? saliency.values;
    if (!values || saliency.stop < cell.start || saliency.start > cell.stop) continue;
    context.save();
    context.beginPath();
    context.rect(cell.x, cell.top, cell.width, cell.height);
    context.clip();
    drawCell(context, cell, page.scale, saliency, values, colours);
    context.restore();
  }
}

function drawCell(
  context: CanvasRenderingContext2D,
  cell: Cell,
  scale: Scale,
  saliency: Saliency,
  values: readonly (number | null)[],
  colours: Palette,
): void {
  const { times } = saliency;
  const edge = (i: number): number => {
    // a value stands for the time around it: half way to its neighbours
    if (i <= 0) return saliency.start;
    if (i >= times.length) return saliency.stop;
    return ((times[i - 1] as number) + (times[i] as number)) / 2;
  };
  const floor = cell.top + cell.height - 2;
  const tall = Math.min(26, cell.height * 0.22);
  context.fillStyle = colours.saliency;
  for (let i = 0; i < times.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) continue;
    const x = xOfTime(cell, scale, edge(i));
    const width = xOfTime(cell, scale, edge(i + 1)) - x;
    context.globalAlpha = 0.42 * value;
    context.fillRect(x, cell.top, width, cell.height);
  }
  context.globalAlpha = 0.95;
  context.strokeStyle = colours.saliency;
  context.lineWidth = 1.4;
  context.beginPath();
  let open = false;
  times.forEach((time, i) => {
    const value = values[i];
    if (value === null || value === undefined) {
      open = false;
      return;
    }
    const [x, y] = [xOfTime(cell, scale, time), floor - value * tall];
    if (open) context.lineTo(x, y);
    else context.moveTo(x, y);
    open = true;
  });
  context.stroke();
  context.globalAlpha = 1;
  // where the window begins and ends
  context.setLineDash([2, 4]);
  context.lineWidth = 1;
  context.beginPath();
  for (const time of [saliency.start, saliency.stop]) {
    const x = xOfTime(cell, scale, time);
    context.moveTo(x, cell.top);
    context.lineTo(x, cell.top + cell.height);
  }
  context.stroke();
  context.setLineDash([]);
}
