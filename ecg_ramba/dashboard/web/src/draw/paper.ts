/** ECG paper: a line a millimetre, a stronger one each five. */

import type { LaidOut } from "../core/layout";
import type { Palette } from "./palette";

export function drawPaper(
  context: CanvasRenderingContext2D,
  page: LaidOut,
  size: { width: number; height: number },
  ratio: number,
  colours: Palette,
): void {
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, size.width, size.height);
  const mm = page.scale.pxPerMm;
  // The paper moves with the time on it, and up and down with the rows.
  const originX = page.gutter - page.start * page.scale.speed * mm;
  const originY = (page.cells[0]?.baseline ?? 0) as number;
  const hair = 1 / ratio;
  if (mm >= 2.4) {
    context.fillStyle = colours.thin;
    lines(context, size, mm, originX, originY, hair, (n) => n % 5 !== 0);
  }
  context.fillStyle = colours.thick;
  lines(context, size, mm, originX, originY, hair, (n) => n % 5 === 0);
}

function lines(
  context: CanvasRenderingContext2D,
  size: { width: number; height: number },
  mm: number,
  originX: number,
  originY: number,
  hair: number,
  wanted: (n: number) => boolean,
): void {
  // On whole device pixels, each rounded by itself: sharp, and never off by more than half of one.
  const snap = (value: number) => Math.round(value / hair) * hair;
  for (let n = Math.ceil(-originX / mm); originX + n * mm < size.width; n++) {
    if (wanted(n)) context.fillRect(snap(originX + n * mm), 0, hair, size.height);
  }
  for (let n = Math.ceil(-originY / mm); originY + n * mm < size.height; n++) {
    if (wanted(n)) context.fillRect(0, snap(originY + n * mm), size.width, hair);
  }
}

/** The standard mark at the left of each row: 1 mV high, 0.2 s long. */
export function drawPulse(context: CanvasRenderingContext2D, page: LaidOut, colours: Palette): void {
  const { pxPerMm, speed, gain } = page.scale;
  const height = gain * pxPerMm;
  const width = Math.min(0.2 * speed * pxPerMm, page.gutter * 0.62);
  const flat = (page.gutter - width) / 2;
  context.strokeStyle = colours.ink;
  context.lineWidth = 1.1;
  context.beginPath();
  for (let row = 0; row < page.rows; row++) {
    const baseline = page.cells.find((cell) => cell.row === row)?.baseline;
    if (baseline === undefined) continue;
    context.moveTo(0, baseline);
    context.lineTo(flat, baseline);
    context.lineTo(flat, baseline - height);
    context.lineTo(flat + width, baseline - height);
    context.lineTo(flat + width, baseline);
    context.lineTo(page.gutter, baseline);
  }
  context.stroke();
}
