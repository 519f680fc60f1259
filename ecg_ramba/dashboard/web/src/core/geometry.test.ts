import { describe, expect, it } from "vitest";
import { cellAt, CSS_PX_PER_MM, mvOfY, sampleOfTime, timeOfX, xOfTime, yOfMv } from "./geometry";
import { type LayoutName, layOut, LEADS, type Page, rowsOf } from "./layout";

const PAGE: Page = {
  width: 1200,
  height: 800,
  layout: "3x4",
  rhythm: "II",
  focus: null,
  basePxPerMm: CSS_PX_PER_MM,
  zoom: 1,
  speed: 25,
  gain: 10,
  start: 0,
  seconds: 10,
  top: 0,
  ratio: 1,
};

const EVERY: Page[] = [];
for (const layout of ["3x4", "6x2", "12x1"] as LayoutName[]) {
  for (const speed of [12.5, 25, 50]) {
    for (const gain of [5, 10, 20]) {
      for (const zoom of [0.5, 1, 3.7]) {
        for (const focus of [null, "V3"]) {
          EVERY.push({ ...PAGE, layout, speed, gain, zoom, focus, start: 1234.5678, seconds: 3600 });
        }
      }
    }
  }
}

describe("the paper's scale", () => {
  it("is 25 mm a second and 10 mm a millivolt at 96 pixels an inch", () => {
    const { cells, scale } = layOut(PAGE);
    const cell = cells[0]!;
    // by hand: 1 s is 25 mm, 25 mm are 25 / 25.4 inch, an inch is 96 pixels
    expect(xOfTime(cell, scale, 1) - xOfTime(cell, scale, 0)).toBeCloseTo((25 / 25.4) * 96, 9);
    expect(yOfMv(cell, scale, 0) - yOfMv(cell, scale, 1)).toBeCloseTo((10 / 25.4) * 96, 9);
  });

  it("follows the measured screen", () => {
    const one = layOut(PAGE).scale.pxPerMm;
    expect(layOut({ ...PAGE, basePxPerMm: CSS_PX_PER_MM * 1.25 }).scale.pxPerMm).toBeCloseTo(one * 1.25, 12);
  });

  it("gives back time and amplitude in every layout, speed, gain and zoom", () => {
    for (const page of EVERY) {
      const { cells, scale } = layOut(page);
      for (const cell of cells) {
        const time = cell.start + 0.4 * (cell.stop - cell.start);
        expect(timeOfX(cell, scale, xOfTime(cell, scale, time))).toBeCloseTo(time, 9);
        expect(mvOfY(cell, scale, yOfMv(cell, scale, -1.234))).toBeCloseTo(-1.234, 9);
        expect(xOfTime(cell, scale, cell.stop)).toBeCloseTo(cell.x + cell.width, 6);
      }
    }
  });

  it("finds the sample again at 500 Hz an hour in", () => {
    for (const page of EVERY) {
      const { cells, scale } = layOut(page);
      const cell = cells.at(-1)!;
      const sample = Math.ceil(cell.start * 500) + 3;
      expect(sampleOfTime(timeOfX(cell, scale, xOfTime(cell, scale, sample / 500)), 500, 1_800_000)).toBe(sample);
    }
  });
});

describe("layouts", () => {
  it("show each lead once, in 3 x 4 with a strip below", () => {
    for (const layout of ["6x2", "12x1"] as LayoutName[]) {
      expect(rowsOf(layout, "II", null).flat().sort()).toEqual([...LEADS].sort());
    }
    expect(rowsOf("3x4", "V1", null).slice(0, 3).flat().sort()).toEqual([...LEADS].sort());
    expect(rowsOf("3x4", "V1", null)[3]).toEqual(["V1"]);
    expect(rowsOf("12x1", "II", "aVR")).toEqual([["aVR"]]);
  });

  it("let the leads of a row follow one another in time without a gap", () => {
    for (const page of EVERY) {
      const { cells } = layOut(page);
      for (const cell of cells) {
        const next = cells.find((other) => other.row === cell.row && other.column === cell.column + 1);
        if (!next) continue;
        expect(next.start).toBeCloseTo(cell.stop, 9);
        expect(next.x).toBeCloseTo(cell.x + cell.width, 6);
      }
    }
  });

  it("never show what is outside of the recording", () => {
    for (const page of EVERY) {
      for (const start of [-5, 0, 3599, 1e9]) {
        const { cells } = layOut({ ...page, start });
        for (const cell of cells) {
          expect(cell.start).toBeGreaterThanOrEqual(0);
          expect(cell.stop).toBeLessThanOrEqual(3600 + 0.02); // start is on a whole pixel
        }
      }
    }
  });

  it("show a short recording whole, in four equal columns", () => {
    const { cells, window } = layOut({ ...PAGE, width: 2000 });
    expect(window).toBe(10);
    expect(cells.slice(0, 4).map((cell) => cell.stop - cell.start)).toEqual([2.48, 2.48, 2.48, 2.56].map((s) => expect.closeTo(s, 6)));
  });

  it("put the begin on whole device pixels", () => {
    for (const ratio of [1, 1.5, 2]) {
      for (const page of EVERY) {
        const { scale, start, gutter } = layOut({ ...page, ratio });
        const pixels = start * scale.speed * scale.pxPerMm * ratio;
        expect(Math.abs(pixels - Math.round(pixels))).toBeLessThan(1e-5);
        expect(gutter * ratio).toBeCloseTo(Math.round(gutter * ratio), 9);
      }
    }
  });
});

describe("the cell under a point", () => {
  it("is the one that was drawn there", () => {
    const { cells } = layOut(PAGE);
    for (const cell of cells) {
      expect(cellAt(cells, cell.x + cell.width / 2, cell.top + cell.height / 2)).toBe(cell);
    }
    expect(cellAt(cells, 3, 100)).toBeNull();
  });
});
