/**
 * What this browser remembers: the theme and how large its screen's pixels are. Nothing of a recording.
 *
 * The page's theme stands in `data-theme` of the root: the one chosen, else the system's, and in print the light one.
 */

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

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const recolours = new Set<() => void>();
let printing = false;

function show(): void {
  const { dataset } = document.documentElement;
  const before = dataset.theme;
  dataset.theme = printing ? "light" : held.theme !== "auto" ? held.theme : dark.matches ? "dark" : "light";
  if (dataset.theme !== before) for (const recolour of recolours) recolour();
}
show();
dark.addEventListener("change", show);
for (const event of ["beforeprint", "afterprint"]) {
  window.addEventListener(event, () => {
    printing = event === "beforeprint";
    show();
  });
}

/** Call whenever the page's colours have changed, before anything else happens: a print takes what is there then. */
export function onColours(recolour: () => void): () => void {
  recolours.add(recolour);
  return () => recolours.delete(recolour);
}

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
