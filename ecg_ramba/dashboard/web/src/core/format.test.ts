import { describe, expect, it } from "vitest";
import { roughly } from "./format";

describe("a time to wait", () => {
  it("is rounded up, to what one would say", () => {
    expect([1, 12, 54, 56, 61, 3599, 3600, 4801].map(roughly)).toEqual(["5 s", "15 s", "55 s", "1 min", "2 min", "1 h", "1 h", "1 h 21 min"]);
  });
});
