/** Scales of the small plots. */

/** Round values between two others, a few of them. */
export function ticks(low: number, high: number, about = 4): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? raw;
  const found: number[] = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) found.push(n * step);
  return found;
}

/** Lowest and highest with a margin, never of no extent. */
export function extent(values: readonly number[], least: number): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const middle = (low + high) / 2;
  const half = Math.max(least, (high - low) * 1.12) / 2;
  return [Math.max(0, middle - half), middle + half];
}
