import { describe, expect, it } from "vitest";
import { type Calliper, legs, reading, snapped, stepped, type Trace } from "./callipers";
import { CSS_PX_PER_MM, xOfTime, yOfMv } from "./geometry";
import { layOut } from "./layout";

const at = (time: number, mv = 0) => ({ time, mv });
const between = (a: number, b: number): Calliper => ({ id: 1, lead: "II", a: at(a), b: at(b), marching: true });

describe("a reading", () => {
  it("is the interval, its rate and the rise from the earlier to the later point", () => {
    const read = reading({ a: at(1.0, 0.2), b: at(1.8, -0.3) });
    expect(read.ms).toBeCloseTo(800, 9);
    expect(read.rate).toBeCloseTo(75, 9);
    expect(read.mv).toBeCloseTo(-0.5, 12);
  });

  it("does not depend on which end was put first", () => {
    const [one, two] = [at(1.0, 0.2), at(1.8, -0.3)];
    expect(reading({ a: two, b: one })).toEqual(reading({ a: one, b: two }));
  });

  it("has no rate for no interval", () => {
    expect(reading({ a: at(2), b: at(2) }).rate).toBeNull();
  });
});

describe("marching callipers", () => {
  it("stand at every whole interval in view, to both sides", () => {
    expect(legs(between(1, 1.5), 0, 3)).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3].map((t) => expect.closeTo(t, 9)));
    expect(legs(between(1.5, 1), 0.9, 1.6)).toEqual([1, 1.5].map((t) => expect.closeTo(t, 9)));
  });

  it("do not march without an interval", () => {
    expect(legs(between(1, 1), 0, 3)).toEqual([1]);
    expect(legs(between(5, 5), 0, 3)).toEqual([]);
  });
});

const RATE = 500;
/** A flat line with one tall sample, an R wave of one sample. */
const spike = (peak: number, samples = 5000): Trace => ({
  at: (sample) => (sample === peak ? 1.5 : 0),
  rate: RATE,
  samples,
});

describe("snapping", () => {
  it("takes the top of an R wave from nearby, in every layout and speed", () => {
    for (const layout of ["3x4", "6x2", "12x1"] as const) {
      for (const speed of [12.5, 25, 50]) {
        for (const zoom of [1, 2.5]) {
          const { cells, scale } = layOut({
            width: 1300, height: 900, layout, rhythm: "II", focus: null, basePxPerMm: CSS_PX_PER_MM,
            zoom, speed, gain: 10, start: 0, seconds: 10, top: 0, ratio: 1,
          });
          const cell = cells.find((one) => one.lead === "II")!;
          const peak = Math.round(((cell.start + cell.stop) / 2) * RATE);
          const x = xOfTime(cell, scale, peak / RATE);
          const y = yOfMv(cell, scale, 1.5);
          const found = snapped(cell, scale, x + 5, y + 3, spike(peak));
          expect(found).toEqual({ time: peak / RATE, mv: 1.5 });
        }
      }
    }
  });

  it("stays where the pointer is if there is no signal", () => {
    const { cells, scale } = layOut({
      width: 1300, height: 900, layout: "12x1", rhythm: "II", focus: null, basePxPerMm: CSS_PX_PER_MM,
      zoom: 1, speed: 25, gain: 10, start: 0, seconds: 10, top: 0, ratio: 1,
    });
    const cell = cells[1]!;
    const gap: Trace = { at: () => NaN, rate: RATE, samples: 5000 };
    const found = snapped(cell, scale, xOfTime(cell, scale, 2.2222), yOfMv(cell, scale, 0.3333), gap);
    expect(found.time).toBeCloseTo(2.2222, 9);
    expect(found.mv).toBeCloseTo(0.3333, 9);
  });
});

describe("a step by keyboard", () => {
  it("is one sample, along the trace", () => {
    const trace = spike(101);
    expect(stepped(at(100 / RATE), 1, trace, true)).toEqual({ time: 101 / RATE, mv: 1.5 });
    expect(stepped(at(100 / RATE, 0.7), 1, trace, false)).toEqual({ time: 101 / RATE, mv: 0.7 });
  });

  it("ends at the recording's ends", () => {
    expect(stepped(at(0), -5, spike(9, 100), true).time).toBe(0);
    expect(stepped(at(99 / RATE), 5, spike(9, 100), true).time).toBe(99 / RATE);
  });
});
