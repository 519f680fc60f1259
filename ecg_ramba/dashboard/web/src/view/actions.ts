/** What can be done to the view: the same for buttons, keys, wheel and fingers. */

import { type Calliper, free, type Point, snapped, stepped, type Trace } from "../core/callipers";
import { cellAt, cellShowing, type Cell, type Scale, sampleOfTime, timeOfX, xOfTime, yOfMv } from "../core/geometry";
import { HEAD_PX, type LaidOut, LEADS } from "../core/layout";
import type { Tiles } from "../signal/tiles";
import { GAINS, SPEEDS, type ViewStore, ZOOM } from "./store";

/** Seconds a 5 mm square is. */
const square = (speed: number) => 5 / speed;

/** Pixels from a trace within which it is meant. */
const REACH = 12;

const clamp = (value: number, low: number, high: number) => Math.max(low, Math.min(high, value));

export const traceOf = (tiles: Tiles, lead: string): Trace => ({
  at: (sample) => tiles.at(lead, sample),
  rate: tiles.info.rate,
  samples: tiles.info.samples,
});

export class Actions {
  constructor(
    readonly store: ViewStore,
    readonly tiles: Tiles,
  ) {}

  goTo(start: number): void {
    this.store.set({ start: clamp(start, 0, this.store.laidOut?.lastStart ?? 0) });
  }

  centreOn(time: number): void {
    this.goTo(time - (this.store.laidOut?.window ?? 0) / 2);
  }

  pan(seconds: number, pixelsDown = 0): void {
    const { start, top } = this.store.get();
    const lastTop = this.store.laidOut?.lastTop ?? 0;
    this.store.set({
      start: clamp(start + seconds, 0, this.store.laidOut?.lastStart ?? 0),
      top: clamp(top + pixelsDown, 0, lastTop),
    });
  }

  squares(count: number): void {
    this.pan(count * square(this.store.get().speed));
  }

  screens(count: number): void {
    this.pan(count * 0.9 * (this.store.laidOut?.window ?? 0));
  }

  /** Magnify about a place of the page, which stays where it is. */
  zoom(factor: number, x?: number, y?: number): void {
    const { zoom, start, top } = this.store.get();
    const next = clamp(zoom * factor, ZOOM.least, ZOOM.most);
    const [page, after] = [this.store.laidOut, this.store.layOutWith({ zoom: next })];
    if (!page || !after || next === zoom) return;
    const perSecond = ({ scale }: LaidOut) => scale.speed * scale.pxPerMm;
    const across = x === undefined ? (page.window * perSecond(page)) / 2 : Math.max(0, x - page.gutter);
    const down = (y ?? HEAD_PX) - HEAD_PX;
    this.store.set({
      zoom: next,
      start: clamp(start + across / perSecond(page) - across / perSecond(after), 0, after.lastStart),
      top: clamp((top + down) * (next / zoom) - down, 0, after.lastTop),
    });
  }

  toScale(): void {
    this.store.set({ zoom: 1 });
  }

  speed(speed: number): void {
    this.store.set({ speed });
  }

  nextSpeed(step: number): void {
    const at = SPEEDS.indexOf(this.store.get().speed);
    this.speed(SPEEDS[clamp(at + step, 0, SPEEDS.length - 1)] ?? 25);
  }

  nextGain(step: number): void {
    const at = GAINS.indexOf(this.store.get().gain);
    this.store.set({ gain: GAINS[clamp(at + step, 0, GAINS.length - 1)] ?? 10 });
  }

  /** One lead alone, or all of them again. The paper keeps its scale unless the lead is small. */
  enlarge(lead: string | null): void {
    this.store.set({ focus: lead, top: 0, zoom: lead ? 2 : 1, selected: lead ?? this.store.get().selected });
  }

  selectNext(step: number): void {
    const { selected, focus } = this.store.get();
    const at = LEADS.indexOf(selected as (typeof LEADS)[number]);
    const lead = LEADS[(at + step + LEADS.length) % LEADS.length] ?? "II";
    this.store.set(focus ? { selected: lead, focus: lead } : { selected: lead });
    this.reveal(lead);
  }

  /** Push the paper so that the row of a lead is on the screen. */
  private reveal(lead: string): void {
    const page = this.store.laidOut;
    const cell = page?.cells.find((other) => other.lead === lead);
    if (!page || !cell || page.lastTop === 0) return;
    this.store.set({ top: clamp(page.top + cell.top - cell.height / 2, 0, page.lastTop) });
  }

  // --- callipers ---

  /** Ends that were put where the samples had not come in yet: they are put again when they have. */
  private readonly unsettled = new Map<string, () => void>();

  /** Put an end of a calliper, by a function of the samples around `time`; at once, and again if they come later. */
  private put(id: number, end: "a" | "b", time: number, point: () => Point): void {
    const { lead } = this.store.get().callipers.find((one) => one.id === id) ?? {};
    const { rate, samples } = this.tiles.info;
    this.change(id, { [end]: point() });
    const around = Math.ceil(rate / 2);
    const at = Math.max(0, Math.min(samples - 1, Math.round(time * rate)));
    const key = `${id}${end}`;
    if (lead && !this.tiles.holds(lead, at - around, at + around)) {
      this.unsettled.set(key, () => this.put(id, end, time, point));
    } else this.unsettled.delete(key);
  }

  /** More samples are here. */
  settle(): void {
    const again = [...this.unsettled.values()];
    this.unsettled.clear();
    for (const put of again) put();
  }

  private pointAt(cell: Cell, scale: Scale, x: number, y: number): Point {
    const { snap } = this.store.get();
    return snap ? snapped(cell, scale, x, y, traceOf(this.tiles, cell.lead)) : free(cell, scale, x, y);
  }

  /** The cell that is meant at a place: whose trace is there, since a tall R wave reaches into its neighbours' rows. */
  cellFor(x: number, y: number): Cell | null {
    const page = this.store.laidOut;
    if (!page) return null;
    const band = cellAt(page.cells, x, y);
    if (!this.store.get().snap) return band;
    let [best, distance]: [Cell | null, number] = [band, REACH];
    for (const cell of page.cells) {
      if (x < cell.x || x >= cell.x + cell.width || !this.tiles.has(cell.lead)) continue;
      const point = this.pointAt(cell, page.scale, x, y);
      const known = !Number.isNaN(this.tiles.at(cell.lead, sampleOfTime(point.time, this.tiles.info.rate, this.tiles.info.samples)));
      const off = Math.hypot(xOfTime(cell, page.scale, point.time) - x, yOfMv(cell, page.scale, point.mv) - y);
      if (known && off < distance) [best, distance] = [cell, off];
    }
    return best;
  }

  /** Put an end under the pointer. */
  putAt(id: number, end: "a" | "b", cell: Cell, x: number, y: number): void {
    const scale = this.store.laidOut?.scale;
    if (scale) this.put(id, end, timeOfX(cell, scale, x), () => this.pointAt(cell, scale, x, y));
  }

  /** New callipers with both ends at one place. */
  placeAt(cell: Cell, x: number, y: number): number | null {
    const scale = this.store.laidOut?.scale;
    if (!scale) return null;
    const point = free(cell, scale, x, y);
    const id = this.place(cell.lead, point, point);
    for (const end of ["a", "b"] as const) this.putAt(id, end, cell, x, y);
    return id;
  }

  private place(lead: string, a: Point, b: Point): number {
    const calliper: Calliper = { id: this.store.newId(), lead, a, b, marching: false };
    this.store.set({ callipers: [...this.store.get().callipers, calliper], active: calliper.id, handle: "b" });
    return calliper.id;
  }

  change(id: number, patch: Partial<Calliper>): void {
    const callipers = this.store.get().callipers.map((one) => (one.id === id ? { ...one, ...patch } : one));
    this.store.set({ callipers });
  }

  /** New callipers in the middle of the selected lead, a large square wide, for the keyboard. */
  placeInMiddle(): void {
    const page = this.store.laidOut;
    const { selected, speed, snap } = this.store.get();
    if (!page) return;
    const cell = cellShowing(page.cells, selected, page.start + page.window / 2);
    if (!cell) return;
    const trace = traceOf(this.tiles, selected);
    const middle = { time: (cell.start + cell.stop) / 2, mv: 0 };
    const half = Math.round((square(speed) / 2) * trace.rate);
    const id = this.place(selected, middle, middle);
    this.put(id, "a", middle.time, () => stepped(middle, -half, trace, snap));
    this.put(id, "b", middle.time, () => stepped(middle, half, trace, snap));
    this.store.set({ tool: "calliper" });
  }

  stepHandle(samples: number): void {
    const { callipers, active, handle, snap } = this.store.get();
    const calliper = callipers.find((one) => one.id === active);
    if (!calliper) return;
    const from = calliper[handle];
    const trace = traceOf(this.tiles, calliper.lead);
    this.put(calliper.id, handle, from.time, () => stepped(from, samples, trace, snap));
    this.follow(from.time + samples / trace.rate);
  }

  /** Up and down by a tenth of a millimetre of paper; only free callipers leave the trace. */
  raiseHandle(steps: number): void {
    const { callipers, active, handle, gain } = this.store.get();
    const calliper = callipers.find((one) => one.id === active);
    if (!calliper) return;
    const point = calliper[handle];
    this.store.set({ snap: false });
    this.change(calliper.id, { [handle]: { ...point, mv: point.mv + (steps * 0.1) / gain } });
  }

  private follow(time: number): void {
    const page = this.store.laidOut;
    if (page && (time < page.start || time > page.start + page.window)) this.centreOn(time);
  }

  /** Make a calliper the active one and bring it into view. */
  activate(id: number): void {
    const calliper = this.store.get().callipers.find((one) => one.id === id);
    if (!calliper) return;
    this.store.set({ active: id, tool: "calliper", selected: calliper.lead });
    this.follow(calliper.a.time);
  }

  remove(id: number): void {
    const callipers = this.store.get().callipers.filter((one) => one.id !== id);
    const active = this.store.get().active === id ? (callipers.at(-1)?.id ?? null) : this.store.get().active;
    this.store.set({ callipers, active });
  }

  march(id: number): void {
    const calliper = this.store.get().callipers.find((one) => one.id === id);
    if (calliper) this.change(id, { marching: !calliper.marching });
  }
}
