/** Samples of one recording, fetched in tiles when they are first wanted and kept while there is room. */

import { api, isAbort, sentenceOf } from "../api/client";
import type { SignalInfo } from "../api/types";
import { TILE, tilesOf } from "../core/levels";
import { Lru } from "../core/lru";

const BUDGET_BYTES = 96 * 1024 * 1024;
const AT_ONCE = 6;

interface Wanted {
  key: string;
  lead: string;
  level: number;
  tile: number;
}

export interface Filters {
  filter: string;
  notch: string;
}

export class Tiles {
  private readonly cache = new Lru<Float32Array>(BUDGET_BYTES, (values) => values.byteLength);
  private readonly waiting = new Map<string, Wanted>();
  private readonly running = new Map<string, AbortController>();
  private readonly failed = new Set<string>();
  private readonly present: Set<string>;
  private closed = false;
  /** How many answers came in: a picture drawn with tiles missing is drawn anew when this has changed. */
  arrivals = 0;

  constructor(
    private readonly id: string,
    readonly info: SignalInfo,
    private filters: Filters,
    private readonly arrived: () => void,
    private readonly refused: (sentence: string) => void,
  ) {
    this.present = new Set(info.leads.filter((lead) => lead.status !== "missing").map((lead) => lead.name));
  }

  has(lead: string): boolean {
    return this.present.has(lead);
  }

  /** Another filter is another signal; tiles of the former stay in the cache, requests for it do not. */
  use(filters: Filters): void {
    if (filters.filter === this.filters.filter && filters.notch === this.filters.notch) return;
    this.filters = filters;
    this.waiting.clear();
    for (const stop of this.running.values()) stop.abort();
  }

  /** What is asked for anew at each frame: what is no longer on the screen need not be fetched. */
  beginFrame(): void {
    this.waiting.clear();
  }

  private key(lead: string, level: number, tile: number): string {
    return `${lead}|${level}|${tile}|${this.filters.filter}|${this.filters.notch}`;
  }

  /** A tile if it is here; otherwise it is asked for. */
  get(lead: string, level: number, tile: number, ask = true): Float32Array | undefined {
    const key = this.key(lead, level, tile);
    const values = this.cache.get(key);
    if (!values && ask && this.present.has(lead) && !this.running.has(key) && !this.failed.has(key)) {
      this.waiting.set(key, { key, lead, level, tile });
    }
    return values;
  }

  /** Ask for what lies before and after the screen, so that scrolling finds it here. */
  prefetch(leads: Iterable<string>, level: number, start: number, stop: number): void {
    const span = TILE * level;
    for (const lead of leads) {
      const tiles = tilesOf(start - span / 2, stop + span / 2, level, this.info.samples);
      if (!tiles) continue;
      for (let tile = tiles[0]; tile <= tiles[1]; tile++) this.get(lead, level, tile);
    }
  }

  /** The sample at full rate, NaN where missing or not here yet. */
  at(lead: string, sample: number): number {
    const values = this.get(lead, 1, Math.floor(sample / TILE));
    const value = values?.[sample % TILE];
    if (values === undefined) this.pump();
    return value ?? NaN;
  }

  /** Whether every sample of a stretch is here; what is not is asked for. */
  holds(lead: string, start: number, stop: number): boolean {
    const tiles = tilesOf(start, stop, 1, this.info.samples);
    if (!tiles || !this.present.has(lead)) return true;
    let whole = true;
    for (let tile = tiles[0]; tile <= tiles[1]; tile++) {
      const here = this.get(lead, 1, tile) !== undefined || this.failed.has(this.key(lead, 1, tile));
      whole &&= here;
    }
    if (!whole) this.pump();
    return whole;
  }

  pump(): void {
    for (const wanted of this.waiting.values()) {
      if (this.running.size >= AT_ONCE || this.closed) return;
      this.waiting.delete(wanted.key);
      if (!this.running.has(wanted.key)) void this.fetch(wanted);
    }
  }

  private async fetch({ key, lead, level, tile }: Wanted): Promise<void> {
    const stop = new AbortController();
    this.running.set(key, stop);
    const span = TILE * level;
    const range = { start: tile * span, stop: Math.min(this.info.samples, (tile + 1) * span) };
    try {
      const answer = await api.samples(this.id, { lead, ...range, level, ...this.filters }, stop.signal);
      if (answer.start !== range.start) {
        throw new Error(`The server sent samples from ${answer.start} on where ${range.start} was asked for.`);
      }
      this.cache.set(key, answer.values);
    } catch (error) {
      if (!isAbort(error)) {
        this.failed.add(key);
        this.refused(sentenceOf(error));
      }
    } finally {
      this.running.delete(key);
      this.arrivals++;
      if (!this.closed) {
        this.arrived();
        this.pump();
      }
    }
  }

  /** React may close and open a view again at once (strict mode does). */
  open(): void {
    this.closed = false;
  }

  close(): void {
    this.closed = true;
    this.waiting.clear();
    for (const stop of this.running.values()) stop.abort();
  }
}
