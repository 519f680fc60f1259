/** One frame of the twelve-lead view. */

import type { LeadStatus } from "../api/types";
import type { Cell } from "../core/geometry";
import type { LaidOut } from "../core/layout";
import type { Tiles } from "../signal/tiles";
import type { Canvas, ViewStore } from "../view/store";
import { drawCallipers } from "./callipers";
import { drawMarks } from "./marks";
import type { Palette } from "./palette";
import { drawPaper, drawPulse } from "./paper";
import { drawSaliency } from "./saliency";
import type { Strips } from "./strips";
import { levelOf } from "./trace";

export interface Surface extends Canvas {
  context: CanvasRenderingContext2D;
  colours: Palette;
  strips: Strips;
}

export function draw(surface: Surface, store: ViewStore, tiles: Tiles): void {
  const { context, width, height, ratio, colours } = surface;
  const state = store.get();
  store.drawnOn({ width, height, ratio, calibration: surface.calibration });
  const page = store.laidOut;
  if (!page) return;
  const statuses = new Map(store.info.leads.map((lead) => [lead.name, lead.status]));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawPaper(context, page, { width, height }, ratio, colours);
  if (state.saliency) drawSaliency(context, page, state.saliency, colours);
  const whole = drawTraces(surface, page, tiles, statuses, `${state.filter}|${state.notch}`, state.tool === "calliper");
  if (state.showMarks && store.marks) drawMarks(context, page, store.marks, colours);
  drawPulse(context, page, colours);
  for (const cell of page.cells) {
    drawLabel(context, cell, statuses.get(cell.lead) ?? "missing", cell.lead === state.selected, colours);
  }
  drawCallipers(context, page, state.callipers, state.active, state.handle, colours);
  const { start, window } = page;
  if (state.loading === whole || state.shown.start !== start || state.shown.window !== window) {
    queueMicrotask(() => store.set({ loading: !whole, shown: { start, window } }));
  }
}

function drawTraces(surface: Surface, page: LaidOut, tiles: Tiles, statuses: Map<string, LeadStatus>, filters: string, measuring: boolean): boolean {
  const { context, colours, ratio, strips } = surface;
  const level = levelOf(tiles, page.scale, ratio);
  const { pxPerMm, speed, gain } = page.scale;
  tiles.beginFrame();
  strips.begin([pxPerMm, speed, gain, ratio, filters, colours.ink].join("|"));
  let whole = true;
  for (const cell of page.cells) {
    const status = statuses.get(cell.lead) ?? "missing";
    if (status === "missing" || cell.top > surface.height + 200 || cell.top + cell.height < -200) continue;
    const colour = status === "derived" ? colours.derived : colours.ink;
    context.save();
    context.beginPath();
    context.rect(cell.x, 0, cell.width, surface.height);
    context.clip();
    whole = strips.draw(context, tiles, cell, page.scale, level, ratio, colour, surface.height) && whole;
    context.restore();
  }
  const { rate } = tiles.info;
  const leads = new Set(page.cells.map((cell) => cell.lead));
  // callipers snap to single samples, whatever the paper shows
  if (measuring) tiles.prefetch(leads, 1, page.start * rate, (page.start + page.window) * rate);
  tiles.prefetch(leads, level, page.start * rate, (page.start + page.window) * rate);
  tiles.pump();
  return whole;
}

const SAID: Record<LeadStatus, string> = { measured: "", derived: "derived", missing: "missing", dead: "flat" };

function drawLabel(
  context: CanvasRenderingContext2D,
  cell: Cell,
  status: LeadStatus,
  selected: boolean,
  colours: Palette,
): void {
  const [x, y] = [cell.x + 4, cell.top + Math.min(18, cell.height * 0.3)];
  context.font = "600 13px ui-sans-serif, system-ui, sans-serif";
  const width = context.measureText(cell.lead).width;
  context.globalAlpha = 0.8;
  context.fillStyle = colours.paper;
  context.fillRect(x - 3, y - 12, width + 6, 16);
  context.globalAlpha = 1;
  context.fillStyle = selected ? colours.selected : colours.label;
  context.fillText(cell.lead, x, y);
  if (selected) context.fillRect(x, y + 3, width, 2);
  if (status !== "measured") {
    context.font = "11px ui-sans-serif, system-ui, sans-serif";
    context.fillStyle = colours.label;
    context.fillText(SAID[status], x + width + 7, y);
  }
  if (status === "missing") {
    context.strokeStyle = colours.faint;
    context.setLineDash([6, 6]);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(cell.x + 4, cell.baseline);
    context.lineTo(cell.x + cell.width - 4, cell.baseline);
    context.stroke();
    context.setLineDash([]);
  }
  if (cell.column > 0) {
    // where one lead follows another in a row
    context.fillStyle = colours.faint;
    context.fillRect(cell.x, cell.baseline - 14, 1, 28);
  }
}
