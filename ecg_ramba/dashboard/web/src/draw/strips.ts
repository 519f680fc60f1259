/**
 * Traces as pictures. Stroking twelve noisy traces costs most of a frame; moving pictures of them costs little. So each
 * lead's trace is stroked once, in strips, and scrolling puts the strips where they belong. The paper's start is on
 * whole device pixels (`layOut`), so a strip is never drawn between two of them and nothing is blurred or shifted.
 */

import type { Cell, Scale } from "../core/geometry";
import { LEADS } from "../core/layout";
import { Lru } from "../core/lru";
import type { Tiles } from "../signal/tiles";
import { addTrace, type Bounds, lineWidth } from "./trace";

/** Device pixels. */
const WIDTH = 512;
const BUDGET_BYTES = 96 * 1024 * 1024;

interface Strip {
  /** null where the lead has no sample. */
  picture: HTMLCanvasElement | null;
  /** Upper edge, in CSS pixels below the baseline. */
  top: number;
  /** Of the tiles when it was drawn, if some were not here yet. */
  partialAt: number | null;
}

export class Strips {
  private readonly held = new Lru<Strip>(BUDGET_BYTES, ({ picture }) =>
    picture ? picture.width * picture.height * 4 : 64,
  );
  private drawnFor = "";

  /** Strips of another scale, filter or colour are of no use. */
  begin(signature: string): void {
    if (signature === this.drawnFor) return;
    this.drawnFor = signature;
    this.held.clear();
  }

  /** @returns whether every sample was here */
  draw(
    context: CanvasRenderingContext2D,
    tiles: Tiles,
    cell: Cell,
    scale: Scale,
    level: number,
    ratio: number,
    colour: string,
    tallest: number,
  ): boolean {
    const perSecond = scale.speed * scale.pxPerMm;
    const wide = WIDTH / ratio;
    // Each lead's strips begin elsewhere, so that new ones do not all fall in the same frame.
    const lead = Math.max(0, LEADS.indexOf(cell.lead as (typeof LEADS)[number]));
    const shift = Math.round((lead * WIDTH) / LEADS.length) / ratio;
    const first = Math.floor((cell.start * perSecond + shift) / wide);
    const last = Math.floor((cell.stop * perSecond + shift) / wide);
    let whole = true;
    for (let n = first; n <= last; n++) {
      const begin = n * wide - shift;
      const strip = this.strip(`${cell.lead}|${n}`, tiles, cell, scale, level, ratio, colour, begin, tallest);
      whole &&= strip.partialAt === null;
      if (!strip.picture) continue;
      const x = Math.round((cell.x + begin - cell.start * perSecond) * ratio) / ratio;
      context.drawImage(strip.picture, x, cell.baseline + strip.top, strip.picture.width / ratio, strip.picture.height / ratio);
    }
    return whole;
  }

  private strip(
    key: string,
    tiles: Tiles,
    cell: Cell,
    scale: Scale,
    level: number,
    ratio: number,
    colour: string,
    begin: number,
    tallest: number,
  ): Strip {
    const known = this.held.get(key);
    if (known && (known.partialAt === null || known.partialAt === tiles.arrivals)) return known;
    const perSecond = scale.speed * scale.pxPerMm;
    const own: Cell = {
      ...cell,
      x: 0,
      baseline: 0,
      start: begin / perSecond,
      stop: (begin + WIDTH / ratio) / perSecond,
    };
    const path = new Path2D();
    const bounds: Bounds = { low: Infinity, high: -Infinity };
    const whole = addTrace(path, tiles, own, scale, level, bounds);
    const strip: Strip = { picture: null, top: 0, partialAt: whole ? null : tiles.arrivals };
    if (bounds.low <= bounds.high) {
      const edge = (value: number) => Math.round(Math.max(-tallest, Math.min(tallest, value)) * ratio) / ratio;
      strip.top = edge(bounds.low - 3);
      const picture = document.createElement("canvas");
      picture.width = WIDTH;
      picture.height = Math.max(1, Math.round((edge(bounds.high + 3) - strip.top) * ratio));
      const pen = picture.getContext("2d");
      if (pen) {
        pen.setTransform(ratio, 0, 0, ratio, 0, -strip.top * ratio);
        pen.strokeStyle = colour;
        pen.lineWidth = lineWidth(scale);
        pen.lineJoin = "bevel";
        pen.stroke(path);
      }
      strip.picture = picture;
    }
    this.held.set(key, strip);
    return strip;
  }
}
