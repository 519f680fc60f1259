/** What the twelve-lead view shows, outside of React: a frame is drawn sixty times a second, a button now and then. */

import { useSyncExternalStore } from "react";
import type { Delineation, Saliency, SignalInfo } from "../api/types";
import type { Calliper } from "../core/callipers";
import { CSS_PX_PER_MM } from "../core/geometry";
import { type LaidOut, layOut, type LayoutName } from "../core/layout";

export interface ViewState {
  layout: LayoutName;
  speed: number;
  gain: number;
  zoom: number;
  start: number;
  top: number;
  focus: string | null;
  selected: string;
  filter: string;
  notch: string;
  tool: "pan" | "calliper";
  snap: boolean;
  callipers: Calliper[];
  active: number | null;
  handle: "a" | "b";
  showMarks: boolean;
  saliency: Saliency | null;
  error: string;
  loading: boolean;
  /** Seconds at the left edge and across, as drawn last. */
  shown: { start: number; window: number };
}

export const SPEEDS = [12.5, 25, 50];
export const GAINS = [5, 10, 20];
export const ZOOM = { least: 0.5, most: 16 };

export interface Marks {
  lead: string | null;
  beats: { time: number; abnormal_rr: boolean }[];
  delineation: Delineation | null;
}

/** What the paper is drawn on: CSS pixels, device pixels in one, and the correction for the screen's real pixels. */
export interface Canvas {
  width: number;
  height: number;
  ratio: number;
  calibration: number;
}

const FRESH: ViewState = {
  layout: "3x4",
  speed: 25,
  gain: 10,
  zoom: 1,
  start: 0,
  top: 0,
  focus: null,
  selected: "II",
  filter: "off",
  notch: "off",
  tool: "pan",
  snap: true,
  callipers: [],
  active: null,
  handle: "b",
  showMarks: true,
  saliency: null,
  error: "",
  loading: false,
  shown: { start: 0, window: 0 },
};

export class ViewStore {
  private state: ViewState;
  private readonly listeners = new Set<() => void>();
  private canvas: Canvas | null = null;
  private laid: { state: ViewState; page: LaidOut } | null = null;
  marks: Marks | null = null;
  private next = 1;

  constructor(
    readonly info: SignalInfo,
    initial: Partial<ViewState> = {},
  ) {
    const present = info.leads.filter((lead) => lead.status !== "missing").map((lead) => lead.name);
    const selected = present.includes("II") ? "II" : (present[0] ?? "II");
    this.state = { ...FRESH, selected, ...initial };
  }

  /** The lead of the rhythm strip: II, or the first there is. */
  get rhythm(): string {
    const there = this.info.leads.filter((lead) => lead.status !== "missing" && lead.status !== "dead");
    return there.some((lead) => lead.name === "II") ? "II" : (there[0]?.name ?? "II");
  }

  get = (): ViewState => this.state;

  /** The paper is drawn on a canvas of this size from now on. */
  drawnOn(canvas: Canvas): void {
    const before = this.canvas;
    const same = before && (Object.keys(canvas) as (keyof Canvas)[]).every((key) => canvas[key] === before[key]);
    if (!same) this.laid = null;
    this.canvas = canvas;
  }

  /**
   * The paper as the state has it: what is drawn next, and what pointer and keyboard act on, so that of several moves
   * within one frame each begins where the one before ended. Null while there is no canvas.
   */
  get laidOut(): LaidOut | null {
    if (this.laid?.state !== this.state) {
      const page = this.layOutWith({});
      this.laid = page && { state: this.state, page };
    }
    return this.laid?.page ?? null;
  }

  /** The paper as it would be with something changed. */
  layOutWith(patch: Partial<ViewState>): LaidOut | null {
    if (!this.canvas) return null;
    const { layout, focus, zoom, speed, gain, start, top } = { ...this.state, ...patch };
    const { width, height, ratio, calibration } = this.canvas;
    const { rhythm, info } = this;
    const basePxPerMm = CSS_PX_PER_MM * calibration;
    return layOut({ layout, focus, zoom, speed, gain, start, top, width, height, ratio, rhythm, basePxPerMm, seconds: info.seconds });
  }

  set(patch: Partial<ViewState>): void {
    this.state = { ...this.state, ...patch };
    for (const listener of this.listeners) listener();
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  newId(): number {
    return this.next++;
  }
}

/** Part of the state; a component is drawn again only when this part changes. */
export function useView<T>(store: ViewStore, part: (state: ViewState) => T): T {
  return useSyncExternalStore(store.subscribe, () => part(store.get()));
}
