/** The twelve-lead view of one recording. */

import { useEffect, useMemo } from "react";
import type { SignalInfo } from "../api/types";
import { Tiles } from "../signal/tiles";
import { Actions } from "./actions";
import { CalliperTable } from "./CalliperTable";
import { Overview } from "./Overview";
import { Paper, Redraw } from "./Paper";
import { ViewStore } from "./store";
import { StatusLine, Toolbar } from "./Toolbar";

export interface Viewing {
  actions: Actions;
  redraw: Redraw;
}

/** A view is made anew for each recording, and its tiles are let go with it. */
export function useViewing(id: string, info: SignalInfo | null): Viewing | null {
  const viewing = useMemo(() => {
    if (!info) return null;
    const narrow = window.innerWidth < 760;
    const store = new ViewStore(info, { layout: narrow ? "12x1" : "3x4" });
    const redraw = new Redraw();
    const arrived = () => {
      actions.settle();
      redraw.request();
    };
    const tiles = new Tiles(id, info, { filter: "off", notch: "off" }, arrived, (error) => store.set({ error }));
    const actions = new Actions(store, tiles);
    return { actions, redraw };
  }, [id, info]);
  useEffect(() => {
    viewing?.actions.tiles.open();
    return () => viewing?.actions.tiles.close();
  }, [viewing]);
  return viewing;
}

export function EcgView({ viewing }: { viewing: Viewing }) {
  const { actions, redraw } = viewing;
  return (
    <section className="ecg" aria-label="Electrocardiogram">
      <Toolbar actions={actions} />
      <Paper actions={actions} redraw={redraw} />
      <StatusLine actions={actions} />
      <Overview actions={actions} tiles={actions.tiles} />
      <CalliperTable actions={actions} />
    </section>
  );
}
