/** The canvas: drawn by requestAnimationFrame whenever something that it shows has changed. */

import { useEffect, useId, useRef } from "react";
import { draw, type Surface } from "../draw/scene";
import { Strips } from "../draw/strips";
import { palette } from "../draw/palette";
import { clock } from "../core/format";
import { onColours, useSettings } from "../ui/settings";
import type { Actions } from "./actions";
import { press } from "./keys";
import { listen } from "./pointer";
import { useView } from "./store";

/** Tiles tell the canvas of the samples that came in. */
export class Redraw {
  request: () => void = () => undefined;
}

export function Paper({ actions, redraw }: { actions: Actions; redraw: Redraw }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const settings = useSettings();
  const described = useId();
  const { store, tiles } = actions;

  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d", { alpha: false });
    if (!element || !context) return;
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const surface: Surface = {
      context,
      width: 1,
      height: 1,
      ratio,
      colours: palette(element),
      calibration: settings.calibration,
      strips: new Strips(),
    };
    let frame = 0;
    const paint = () => {
      frame = 0;
      draw(surface, store, tiles);
      element.dataset.frames = String(Number(element.dataset.frames ?? 0) + 1);
    };
    const request = () => {
      frame ||= requestAnimationFrame(paint);
    };
    redraw.request = request;
    const resize = new ResizeObserver(() => {
      surface.width = element.clientWidth;
      surface.height = element.clientHeight;
      element.width = Math.round(surface.width * ratio);
      element.height = Math.round(surface.height * ratio);
      paint(); // at once: a resized canvas is blank until it is drawn
    });
    resize.observe(element);
    const recolour = () => {
      surface.colours = palette(element);
      paint();
    };
    const plain = onColours(recolour);
    const leave = store.subscribe(() => {
      const { filter, notch } = store.get();
      tiles.use({ filter, notch });
      request();
    });
    const deaf = listen(element, actions);
    return () => {
      cancelAnimationFrame(frame);
      resize.disconnect();
      plain();
      leave();
      deaf();
    };
  }, [actions, redraw, settings.calibration, store, tiles]);

  return (
    <div className="paper">
      <canvas
        ref={canvas}
        tabIndex={0}
        role="application"
        aria-label="Twelve-lead ECG. Arrow keys move along it, question mark lists the keys."
        aria-describedby={described}
        data-testid="ecg"
        onKeyDown={(event) => {
          if (press(actions, event.nativeEvent)) event.preventDefault();
        }}
      />
      <Described id={described} actions={actions} />
    </div>
  );
}

/** What is on the canvas, in words; the figures themselves are in the tables beside it. */
function Described({ id, actions }: { id: string; actions: Actions }) {
  const { info } = actions.store;
  const layout = useView(actions.store, (state) => (state.focus ? `lead ${state.focus} alone` : state.layout));
  const scale = useView(actions.store, (state) => `${state.speed} millimetres a second, ${state.gain} a millivolt`);
  const selected = useView(actions.store, (state) => state.selected);
  const at = useView(actions.store, (state) => Math.round(state.start));
  const odd = info.leads.filter((lead) => lead.status !== "measured").map((lead) => `${lead.name} ${lead.status}`);
  return (
    <p id={id} className="hidden">
      {`Recording of ${clock(info.seconds)} at ${info.rate} samples a second, shown from ${clock(at, 0)} on, ${layout}, ${scale}. `}
      {`Selected lead ${selected}. ${odd.length ? `Leads not measured: ${odd.join(", ")}.` : "All twelve leads are measured."}`}
    </p>
  );
}
