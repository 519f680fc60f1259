import { describe, expect, it } from "vitest";
import { clock, percent, signed } from "./format";
import { levelFor, TILE, tilesOf } from "./levels";
import { Lru } from "./lru";

describe("levels of detail", () => {
  it("never have less than a pair a pixel", () => {
    const levels = [1, 4, 16, 64, 256];
    for (const perPixel of [0.2, 1, 3.9, 4, 17, 300, 9999]) {
      const level = levelFor(levels, perPixel);
      expect(level === 1 || level <= perPixel).toBe(true);
      const finer = levels.filter((one) => one <= Math.max(1, perPixel));
      expect(level).toBe(finer.at(-1));
    }
  });

  it("are fetched in tiles that cover a stretch and no more", () => {
    expect(tilesOf(0, TILE, 1, 1e6)).toEqual([0, 0]);
    expect(tilesOf(0, TILE + 1, 1, 1e6)).toEqual([0, 1]);
    expect(tilesOf(-500, 10, 4, 1e6)).toEqual([0, 0]);
    expect(tilesOf(TILE * 4, TILE * 4 + 1, 4, 1e6)).toEqual([1, 1]);
    expect(tilesOf(2e6, 3e6, 1, 1e6)).toBeNull();
  });
});

describe("the cache", () => {
  it("lets go of what was used longest ago, and only when it must", () => {
    const cache = new Lru<number>(10, (value) => value);
    cache.set("a", 4);
    cache.set("b", 4);
    expect(cache.get("a")).toBe(4);
    cache.set("c", 4);
    expect(cache.get("b")).toBeUndefined();
    expect(cache.get("a")).toBe(4);
    expect(cache.weight).toBe(8);
  });

  it("counts a value that is set again once", () => {
    const cache = new Lru<number>(10, (value) => value);
    cache.set("a", 4);
    cache.set("a", 6);
    expect(cache.weight).toBe(6);
  });
});

describe("figures", () => {
  it("never make a certainty of a probability, nor a number of nothing", () => {
    expect(percent(0.99996)).toBe("> 99.9 %");
    expect(percent(0.00004)).toBe("< 0.1 %");
    expect(percent(0.5)).toBe("50.0 %");
    expect(percent(null)).toBe("–");
    expect(percent(NaN)).toBe("–");
  });

  it("have a sign that is none for zero", () => {
    expect(signed(-0.31, 2)).toBe("−0.31");
    expect(signed(0.001, 2)).toBe("0.00");
  });

  it("tell the time", () => {
    expect(clock(9.96)).toBe("10.0 s");
    expect(clock(3725)).toBe("1:02:05");
    expect(clock(185.12, 3)).toBe("3:05.120");
    expect(clock(59.9996, 3)).toBe("1:00.000");
  });
});
