import { describe, expect, it } from "vitest";
import { parcelsOf, stem } from "./upload";

const file = (name: string, bytes: number) => new File([new Uint8Array(bytes)], name);
const limits = { upload_mb: 1, files: 4, hours: 48 };

describe("parcels", () => {
  it("keep the files of a recording together", () => {
    const files = [file("a.hea", 10), file("b.hea", 10), file("c.csv", 10), file("d.csv", 10), file("a.dat", 10), file("b.dat", 10)];
    const { parcels, refused } = parcelsOf(files, limits);
    expect(refused).toEqual([]);
    expect(parcels.flat()).toHaveLength(6);
    for (const parcel of parcels) expect(parcel.length).toBeLessThanOrEqual(4);
    for (const name of ["a", "b"]) {
      expect(parcels.filter((parcel) => parcel.some((one) => stem(one.name) === name))).toHaveLength(1);
    }
  });

  it("stay under the server's size and say what never fits", () => {
    const { parcels, refused } = parcelsOf([file("big.csv", 1100 * 1024), file("x.csv", 700 * 1024), file("y.csv", 700 * 1024)], limits);
    expect(parcels.map((parcel) => parcel.map((one) => one.name))).toEqual([["x.csv"], ["y.csv"]]);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toContain("big.csv");
  });
});
