/** The keyboard on the paper. `KEYS` is also what the help dialog lists, so neither can be without the other. */

import { LAYOUTS } from "../core/layout";
import type { Actions } from "./actions";

interface Key {
  /** As shown in the help. */
  shown: string;
  does: string;
  /** `KeyboardEvent.key` values. */
  keys: string[];
  act(actions: Actions, event: KeyboardEvent): void;
}

const measuring = (actions: Actions) => {
  const { tool, active } = actions.store.get();
  return tool === "calliper" && active !== null;
};

const sideways = (sign: number) => (actions: Actions, event: KeyboardEvent) => {
  if (measuring(actions)) actions.stepHandle(sign * (event.shiftKey ? 10 : 1));
  else if (event.shiftKey) actions.screens(sign);
  else actions.squares(sign);
};

const upright = (sign: number) => (actions: Actions) => {
  if (measuring(actions)) actions.raiseHandle(-sign);
  else actions.selectNext(sign);
};

const following = <T>(values: readonly T[], now: T): T => values[(values.indexOf(now) + 1) % values.length] as T;

export const KEYS: Key[] = [
  { shown: "← →", does: "a large square back or on; with callipers: the end by one sample (Shift: ten)", keys: ["ArrowLeft"], act: sideways(-1) },
  { shown: "", does: "", keys: ["ArrowRight"], act: sideways(1) },
  { shown: "↑ ↓", does: "select a lead; with callipers: the end up or down, off the trace", keys: ["ArrowUp"], act: upright(-1) },
  { shown: "", does: "", keys: ["ArrowDown"], act: upright(1) },
  { shown: "Page ↑ ↓", does: "a screen back or on", keys: ["PageUp"], act: (a) => a.screens(-1) },
  { shown: "", does: "", keys: ["PageDown"], act: (a) => a.screens(1) },
  { shown: "Home, End", does: "begin or end of the recording", keys: ["Home"], act: (a) => a.goTo(0) },
  { shown: "", does: "", keys: ["End"], act: (a) => a.goTo(Infinity) },
  {
    shown: "Enter",
    does: "enlarge the selected lead, or show all again",
    keys: ["Enter"],
    act: (a) => a.enlarge(a.store.get().focus ? null : a.store.get().selected),
  },
  {
    shown: "Esc",
    does: "leave the callipers, then the enlarged lead",
    keys: ["Escape"],
    act: (a) => {
      if (a.store.get().tool === "calliper") a.store.set({ tool: "pan", active: null });
      else if (a.store.get().focus) a.enlarge(null);
    },
  },
  { shown: "+ −", does: "zoom in or out", keys: ["+", "="], act: (a) => a.zoom(1.25) },
  { shown: "", does: "", keys: ["-"], act: (a) => a.zoom(0.8) },
  { shown: "0", does: "back to scale", keys: ["0"], act: (a) => a.toScale() },
  { shown: "[ ]", does: "slower or faster paper", keys: ["["], act: (a) => a.nextSpeed(-1) },
  { shown: "", does: "", keys: ["]"], act: (a) => a.nextSpeed(1) },
  { shown: ", .", does: "less or more gain", keys: [","], act: (a) => a.nextGain(-1) },
  { shown: "", does: "", keys: ["."], act: (a) => a.nextGain(1) },
  {
    shown: "L",
    does: "next layout",
    keys: ["l", "L"],
    act: (a) => {
      const names = LAYOUTS.map((layout) => layout.name);
      a.store.set({ layout: following(names, a.store.get().layout), focus: null, zoom: 1, top: 0 });
    },
  },
  { shown: "F", does: "next filter", keys: ["f", "F"], act: (a) => a.store.set({ filter: following(a.store.info.filters, a.store.get().filter) }) },
  { shown: "N", does: "next notch filter", keys: ["n", "N"], act: (a) => a.store.set({ notch: following(a.store.info.notch, a.store.get().notch) }) },
  { shown: "C", does: "new callipers on the selected lead", keys: ["c", "C"], act: (a) => a.placeInMiddle() },
  {
    shown: "H",
    does: "the other end of the callipers",
    keys: ["h", "H"],
    act: (a) => a.store.set({ handle: a.store.get().handle === "a" ? "b" : "a" }),
  },
  {
    shown: "J",
    does: "the next callipers",
    keys: ["j", "J"],
    act: (a) => {
      const { callipers, active } = a.store.get();
      const next = callipers[(callipers.findIndex((one) => one.id === active) + 1) % callipers.length];
      if (next) a.activate(next.id);
    },
  },
  {
    shown: "M",
    does: "callipers march, or stand alone",
    keys: ["m", "M"],
    act: (a) => {
      const { active } = a.store.get();
      if (active !== null) a.march(active);
    },
  },
  { shown: "S", does: "callipers snap to the trace, or are free", keys: ["s", "S"], act: (a) => a.store.set({ snap: !a.store.get().snap }) },
  {
    shown: "Delete",
    does: "remove the active callipers",
    keys: ["Delete", "Backspace"],
    act: (a) => {
      const { active } = a.store.get();
      if (active !== null) a.remove(active);
    },
  },
  { shown: "B", does: "show or hide the marks of beats and waves", keys: ["b", "B"], act: (a) => a.store.set({ showMarks: !a.store.get().showMarks }) },
];

/** Act on a key; false if it is none of ours, so that Tab and the browser's own keys work as ever. */
export function press(actions: Actions, event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const key = KEYS.find((one) => one.keys.includes(event.key));
  if (!key) return false;
  key.act(actions, event);
  return true;
}
