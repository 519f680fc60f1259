/** Keeps what was used last, within a budget. */

export class Lru<V> {
  private readonly held = new Map<string, V>();
  private used = 0;

  /** @param budget what all values together may weigh */
  constructor(
    private readonly budget: number,
    private readonly weigh: (value: V) => number,
  ) {}

  get(key: string): V | undefined {
    const value = this.held.get(key);
    if (value !== undefined) {
      this.held.delete(key); // a Map is in the order of insertion: put it last
      this.held.set(key, value);
    }
    return value;
  }

  set(key: string, value: V): void {
    const before = this.held.get(key);
    if (before !== undefined) {
      this.used -= this.weigh(before);
      this.held.delete(key);
    }
    this.held.set(key, value);
    this.used += this.weigh(value);
    for (const [oldest, old] of this.held) {
      if (this.used <= this.budget || oldest === key) break;
      this.held.delete(oldest);
      this.used -= this.weigh(old);
    }
  }

  clear(): void {
    this.held.clear();
    this.used = 0;
  }

  get weight(): number {
    return this.used;
  }
}
