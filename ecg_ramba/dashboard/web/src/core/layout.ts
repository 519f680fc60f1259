/** Which lead is where on the paper. */

import type { Cell, Scale } from "./geometry";

export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"] as const;

export type LayoutName = "3x4" | "6x2" | "12x1";

export const LAYOUTS: { name: LayoutName; title: string }[] = [
  { name: "3x4", title: "3 × 4 + strip" },
  { name: "6x2", title: "6 × 2" },
  { name: "12x1", title: "12 × 1" },
];

/** Rows of leads; the leads of a row follow one another in time, as on paper. */
export function rowsOf(layout: LayoutName, rhythm: string, focus: string | null): string[][] {
  if (focus) return [[focus]];
  if (layout === "3x4") {
    return [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"], [rhythm]];
  }
  if (layout === "6x2") return LEADS.slice(0, 6).map((lead, i) => [lead, LEADS[i + 6] as string]);
  return LEADS.map((lead) => [lead]);
}

export interface Page {
  width: number;
  height: number;
  layout: LayoutName;
  rhythm: string;
  focus: string | null;
  /** CSS pixels a millimetre at zoom 1. */
  basePxPerMm: number;
  zoom: number;
  speed: number;
  gain: number;
  /** Seconds at the left edge, and of the whole recording. */
  start: number;
  seconds: number;
  /** How far the paper is pushed up, in pixels. */
  top: number;
  /** Device pixels a CSS pixel. */
  ratio: number;
}

export interface LaidOut {
  cells: Cell[];
  scale: Scale;
  rows: number;
  /** Left margin, which holds the calibration pulse. */
  gutter: number;
  /** Seconds a row shows. */
  window: number;
  /** Last possible `start` and `top`. */
  lastStart: number;
  lastTop: number;
  /** `start` and `top` as drawn, within the limits. */
  start: number;
  top: number;
}

const GUTTER_MM = 9;
/** Pixels above the first row. */
export const HEAD_PX = 6;
const ROW_MM = { least: 13, most: 42 };

/** How many seconds a row shows; never more than there are. */
function windowOf(page: Page, scale: Scale, gutter: number): number {
  const room = Math.max(1, page.width - gutter) / (scale.speed * scale.pxPerMm);
  return Math.min(room, page.seconds);
}

export function layOut(page: Page): LaidOut {
  const rows = rowsOf(page.layout, page.rhythm, page.focus);
  const scale: Scale = { pxPerMm: page.basePxPerMm * page.zoom, speed: page.speed, gain: page.gain };
  const whole = (pixels: number) => Math.round(pixels * page.ratio) / page.ratio;
  const gutter = whole(GUTTER_MM * page.basePxPerMm);
  const window = windowOf(page, scale, gutter);
  const lastStart = Math.max(0, page.seconds - window);
  // On whole device pixels, so that pictures of the trace can be moved without blur (`draw/strips.ts`). All that is
  // drawn and measured uses this start, so nothing is off by the rounding.
  const perSecond = scale.speed * scale.pxPerMm;
  const start = whole(Math.max(0, Math.min(page.start, lastStart)) * perSecond) / perSecond;
  const room = page.height - HEAD_PX;
  const fitted = room / rows.length / page.basePxPerMm;
  const pitchMm = page.focus ? Math.max(ROW_MM.least, fitted) : Math.max(ROW_MM.least, Math.min(ROW_MM.most, fitted));
  // Zooming magnifies the rows too; a lead that is alone keeps the whole height.
  const pitch = page.focus ? room : pitchMm * scale.pxPerMm;
  const lastTop = Math.max(0, pitch * rows.length - room);
  const top = Math.max(0, Math.min(page.top, lastTop));
  const cells: Cell[] = [];
  rows.forEach((leads, row) => {
    // whole millimetres a column, so that the grid fits each
    const share = columnSeconds(window, leads.length, page.speed);
    leads.forEach((lead, column) => {
      const begin = start + column * share;
      const last = column === leads.length - 1;
      const stop = last ? start + window : begin + share;
      cells.push({
        lead,
        row,
        column,
        x: gutter + column * share * scale.speed * scale.pxPerMm,
        width: (stop - begin) * scale.speed * scale.pxPerMm,
        top: HEAD_PX + row * pitch - top,
        height: pitch,
        baseline: whole(HEAD_PX + (row + 0.56) * pitch - top),
        start: begin,
        stop,
      });
    });
  });
  return { cells, scale, rows: rows.length, gutter, window, lastStart, lastTop, start, top };
}

function columnSeconds(window: number, columns: number, speed: number): number {
  if (columns === 1) return window;
  const share = window / columns;
  const whole = Math.floor(share * speed + 1e-9) / speed;
  return whole > 0 ? whole : share;
}
