/** What this browser remembers: the theme and how large its screen's pixels are. Nothing of a recording. */

import { useSyncExternalStore } from "react";

export type Theme = "auto" | "light" | "dark";

export interface Settings {
  theme: Theme;
  /** Real CSS pixels a millimetre over 96 / 25.4. */
  calibration: number;
}

const KEY = "ecg-ramba-settings";
const FRESH: Settings = { theme: "auto", calibration: 1 };
const listeners = new Set<() => void>();
let held = read();

function read(): Settings {
  let text: string | null = null;
  try {
    text = localStorage.getItem(KEY);
  } catch {
    return FRESH; // a browser that keeps nothing: as new each time
  }
  if (!text) return FRESH;
  try {
    const found = JSON.parse(text) as Partial<Settings>;
    const theme = found.theme === "light" || found.theme === "dark" ? found.theme : "auto";
    const calibration = Number(found.calibration);
    return { theme, calibration: calibration > 0.3 && calibration < 4 ? calibration : 1 };
  } catch {
    return FRESH; // not ours: overwritten at the next change
  }
}

function show(): void {
  if (held.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = held.theme;
}
show();

export function changeSettings(patch: Partial<Settings>): void {
  held = { ...held, ...patch };
  show();
  try {
    localStorage.setItem(KEY, JSON.stringify(held));
  } catch {
    // a browser that keeps nothing: it holds until the page is closed
  }
  for (const listener of listeners) listener();
}

export function useSettings(): Settings {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => held,
  );
}
