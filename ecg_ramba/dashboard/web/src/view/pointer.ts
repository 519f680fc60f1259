/** Mouse, pen and fingers on the paper: pan, pinch, callipers. */

import { type Cell, cellAt, cellsOf, xOfTime, yOfMv } from "../core/geometry";
import type { Actions } from "./actions";

interface Spot {
  x: number;
  y: number;
}

type Drag =
  | { kind: "pan"; at: Spot }
  | { kind: "pinch"; apart: number; middle: Spot }
  | { kind: "calliper"; id: number; end: "a" | "b"; cell: Cell }
  | { kind: "new"; cell: Cell; from: Spot };

const GRIP = { mouse: 9, touch: 22 };

/** Listen to a canvas until the returned function is called. */
export function listen(canvas: HTMLCanvasElement, actions: Actions): () => void {
  const { store } = actions;
  const down = new Map<number, Spot>();
  let drag: Drag | null = null;

  const spot = (event: PointerEvent | WheelEvent | MouseEvent): Spot => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  /** The end of a calliper under the pointer. */
  const grip = (at: Spot, reach: number): { id: number; end: "a" | "b"; cell: Cell } | null => {
    const page = store.laidOut;
    if (!page) return null;
    let best: { id: number; end: "a" | "b"; cell: Cell } | null = null;
    let distance = reach;
    for (const calliper of store.get().callipers) {
      for (const cell of cellsOf(page.cells, calliper)) {
        if (at.x < cell.x || at.x > cell.x + cell.width) continue;
        if (at.y < cell.top - 4 || at.y > cell.top + cell.height + 4) continue;
        for (const end of ["a", "b"] as const) {
          const across = Math.abs(xOfTime(cell, page.scale, calliper[end].time) - at.x);
          // on the point itself, or anywhere on its leg
          const along = Math.abs(yOfMv(cell, page.scale, calliper[end].mv) - at.y);
          const off = Math.min(across + 1, Math.hypot(across, along));
          if (off < distance) [best, distance] = [{ id: calliper.id, end, cell }, off];
        }
      }
    }
    return best;
  };

  const pinch = (): Drag | null => {
    const [one, two] = [...down.values()];
    if (!one || !two) return null;
    const middle = { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 };
    return { kind: "pinch", apart: Math.hypot(one.x - two.x, one.y - two.y), middle };
  };

  const onDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const at = spot(event);
    const page = store.laidOut;
    if (!page) return;
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at);
    if (down.size === 2) {
      drag = pinch();
      return;
    }
    const held = grip(at, event.pointerType === "touch" ? GRIP.touch : GRIP.mouse);
    if (held) {
      store.set({ active: held.id, handle: held.end });
      drag = { kind: "calliper", ...held };
      return;
    }
    const cell = store.get().tool === "calliper" ? actions.cellFor(at.x, at.y) : cellAt(page.cells, at.x, at.y);
    if (cell) store.set({ selected: cell.lead });
    const measuring = store.get().tool === "calliper" && cell && actions.tiles.has(cell.lead);
    drag = measuring ? { kind: "new", cell, from: at } : { kind: "pan", at };
  };

  const onMove = (event: PointerEvent) => {
    const at = spot(event);
    if (!down.has(event.pointerId)) {
      canvas.style.cursor = grip(at, GRIP.mouse) ? "ew-resize" : store.get().tool === "calliper" ? "crosshair" : "grab";
      return;
    }
    down.set(event.pointerId, at);
    const page = store.laidOut;
    if (!drag || !page) return;
    if (drag.kind === "pan") {
      actions.pan((drag.at.x - at.x) / (page.scale.speed * page.scale.pxPerMm), drag.at.y - at.y);
      drag.at = at;
    } else if (drag.kind === "pinch") {
      const now = pinch();
      if (now?.kind !== "pinch") return;
      actions.pan((drag.middle.x - now.middle.x) / (page.scale.speed * page.scale.pxPerMm), drag.middle.y - now.middle.y);
      if (drag.apart > 0) actions.zoom(now.apart / drag.apart, now.middle.x, now.middle.y);
      drag = now;
    } else if (drag.kind === "new") {
      if (Math.hypot(at.x - drag.from.x, at.y - drag.from.y) < 4) return;
      const id = actions.placeAt(drag.cell, drag.from.x, drag.from.y);
      if (id === null) return;
      actions.putAt(id, "b", drag.cell, at.x, at.y);
      drag = { kind: "calliper", id, end: "b", cell: drag.cell };
    } else {
      const x = Math.max(drag.cell.x, Math.min(at.x, drag.cell.x + drag.cell.width));
      actions.putAt(drag.id, drag.end, drag.cell, x, at.y);
    }
  };

  const onUp = (event: PointerEvent) => {
    down.delete(event.pointerId);
    const [rest] = [...down.values()];
    drag = rest && down.size === 1 ? { kind: "pan", at: rest } : null;
  };

  const onWheel = (event: WheelEvent) => {
    const page = store.laidOut;
    if (!page) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const at = spot(event);
    if (event.ctrlKey || event.metaKey) {
      actions.zoom(Math.exp(-event.deltaY * unit * 0.0022), at.x, at.y);
    } else if (event.shiftKey && page.lastTop > 0) {
      actions.pan(0, (event.deltaY || event.deltaX) * unit);
    } else {
      const pixels = (Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY) * unit;
      actions.pan(pixels / (page.scale.speed * page.scale.pxPerMm));
    }
  };

  const onDouble = (event: MouseEvent) => {
    const at = spot(event);
    const cell = store.laidOut && cellAt(store.laidOut.cells, at.x, at.y);
    if (store.get().focus) actions.enlarge(null);
    else if (cell) {
      const middle = (cell.start + cell.stop) / 2;
      actions.enlarge(cell.lead);
      requestAnimationFrame(() => actions.centreOn(middle));
    }
  };

  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", onUp);
  canvas.addEventListener("wheel", onWheel, { passive: false });
  canvas.addEventListener("dblclick", onDouble);
  return () => {
    canvas.removeEventListener("pointerdown", onDown);
    canvas.removeEventListener("pointermove", onMove);
    canvas.removeEventListener("pointerup", onUp);
    canvas.removeEventListener("pointercancel", onUp);
    canvas.removeEventListener("wheel", onWheel);
    canvas.removeEventListener("dblclick", onDouble);
  };
}
