import { describe, expect, it } from "vitest";
import { firstFrom } from "../draw/marks";
import { extent, ticks } from "./axes";
import { edgesOf } from "./Timeline";
import { merged } from "./Warnings";

describe("axes", () => {
  it("have round ticks within their ends", () => {
    expect(ticks(612, 1043)).toEqual([800, 1000]);
    expect(ticks(5, 5)).toEqual([5]);
  });

  it("hold every value with a margin", () => {
    const [low, high] = extent([700, 900], 100);
    expect(low).toBeLessThan(700);
    expect(high).toBeGreaterThan(900);
    expect(extent([800, 800], 100)).toEqual([750, 850]);
  });
});

describe("the timeline", () => {
  it("gives each of overlapping windows its own stretch, from begin to end", () => {
    const windows = [0, 2.5, 5].map((start) => ({ start, stop: start + 5 }));
    expect(edgesOf(windows)).toEqual([0, 3.75, 6.25, 10]);
    expect(edgesOf([])).toEqual([]);
  });
});

describe("beats", () => {
  it("are found from a time on", () => {
    const beats = [0.5, 1.5, 2.5].map((time) => ({ time }));
    expect([0, 0.5, 0.6, 3].map((time) => firstFrom(beats, time))).toEqual([0, 0, 1, 3]);
  });
});

describe("warnings", () => {
  it("are each said once, the grave ones first", () => {
    const short = { kind: "short", text: "Short.", severity: "info" } as const;
    const dead = { kind: "dead_lead", text: "Lead V1 is flat.", severity: "warning" } as const;
    expect(merged([short, dead], [dead], undefined)).toEqual([dead, short]);
  });
});
