/** Colours of the canvas, from the style sheet, so that light, dark and print are decided in one place. */

export interface Palette {
  paper: string;
  thin: string;
  thick: string;
  ink: string;
  faint: string;
  derived: string;
  selected: string;
  calliper: string;
  calliperActive: string;
  mark: string;
  abnormal: string;
  saliency: string;
  window: string;
  label: string;
}

const NAMES: Record<keyof Palette, string> = {
  paper: "--paper",
  thin: "--paper-thin",
  thick: "--paper-thick",
  ink: "--paper-ink",
  faint: "--paper-faint",
  derived: "--paper-derived",
  selected: "--paper-selected",
  calliper: "--paper-calliper",
  calliperActive: "--paper-calliper-active",
  mark: "--paper-mark",
  abnormal: "--paper-abnormal",
  saliency: "--paper-saliency",
  window: "--paper-window",
  label: "--paper-label",
};

export function palette(element: Element): Palette {
  const style = getComputedStyle(element);
  const read = ([name, property]: [string, string]) => [name, style.getPropertyValue(property).trim() || "#000"];
  return Object.fromEntries(Object.entries(NAMES).map((entry) => read(entry as [string, string]))) as unknown as Palette;
}
