/** Callipers on the paper: legs, a bar between them, and what they read. */

import { type Calliper, legs, reading } from "../core/callipers";
import { type Cell, cellsOf, type Scale, xOfTime, yOfMv } from "../core/geometry";
import type { LaidOut } from "../core/layout";
import type { Palette } from "./palette";

export function drawCallipers(
  context: CanvasRenderingContext2D,
  page: LaidOut,
  callipers: readonly Calliper[],
  active: number | null,
  handle: "a" | "b",
  colours: Palette,
): void {
  for (const calliper of callipers) {
    const own = calliper.id === active;
    const colour = own ? colours.calliperActive : colours.calliper;
    for (const cell of cellsOf(page.cells, calliper)) {
      context.save();
      context.beginPath();
      context.rect(cell.x, 0, cell.width, 10000);
      context.clip();
      drawOne(context, cell, page.scale, calliper, own ? handle : null, colour);
      context.restore();
      // marching legs may reach cells where the two points are not
      if (covers(cell, calliper)) drawText(context, cell, page, calliper, colour, colours.paper);
    }
  }
}

function covers(cell: Cell, { a, b }: Calliper): boolean {
  return Math.max(a.time, b.time) >= cell.start && Math.min(a.time, b.time) <= cell.stop;
}

function drawOne(
  context: CanvasRenderingContext2D,
  cell: Cell,
  scale: Scale,
  calliper: Calliper,
  handle: "a" | "b" | null,
  colour: string,
): void {
  const [xa, xb] = [xOfTime(cell, scale, calliper.a.time), xOfTime(cell, scale, calliper.b.time)];
  const [ya, yb] = [yOfMv(cell, scale, calliper.a.mv), yOfMv(cell, scale, calliper.b.mv)];
  const [top, bottom] = [cell.top + 14, cell.top + cell.height - 4];
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = handle ? 1.5 : 1;
  context.beginPath();
  for (const x of [xa, xb]) {
    context.moveTo(x, top);
    context.lineTo(x, bottom);
  }
  context.moveTo(xa, top + 6);
  context.lineTo(xb, top + 6);
  context.stroke();
  context.setLineDash([3, 3]);
  context.lineWidth = 1;
  context.beginPath();
  for (const y of [ya, yb]) {
    context.moveTo(xa, y);
    context.lineTo(xb, y);
  }
  if (calliper.marching) {
    for (const time of legs(calliper, cell.start, cell.stop)) {
      const x = xOfTime(cell, scale, time);
      if (Math.abs(x - xa) < 0.5 || Math.abs(x - xb) < 0.5) continue;
      context.moveTo(x, top);
      context.lineTo(x, bottom);
    }
  }
  context.stroke();
  context.setLineDash([]);
  for (const [name, x, y] of [
    ["a", xa, ya],
    ["b", xb, yb],
  ] as const) {
    context.beginPath();
    context.arc(x, y, handle === name ? 5 : 3.5, 0, 2 * Math.PI);
    if (handle === name) context.fill();
    else context.stroke();
  }
}

function drawText(
  context: CanvasRenderingContext2D,
  cell: Cell,
  page: LaidOut,
  calliper: Calliper,
  colour: string,
  paper: string,
): void {
  const read = reading(calliper);
  const rate = read.rate === null ? "" : `  ${read.rate.toFixed(0)}/min`;
  const text = `${read.ms.toFixed(0)} ms${rate}  ${read.mv < 0 ? "−" : ""}${Math.abs(read.mv).toFixed(2)} mV`;
  const middle = xOfTime(cell, page.scale, (calliper.a.time + calliper.b.time) / 2);
  context.font = "600 12px ui-sans-serif, system-ui, sans-serif";
  const width = context.measureText(text).width;
  const x = Math.max(cell.x + 44, Math.min(middle - width / 2, cell.x + cell.width - width - 8));
  const y = Math.max(2, cell.top - 2);
  context.globalAlpha = 0.88;
  context.fillStyle = paper;
  context.fillRect(x - 4, y, width + 8, 16);
  context.globalAlpha = 1;
  context.fillStyle = colour;
  context.fillText(text, x, y + 12);
}
