/** Layout, paper, filters and tools of the view. */

import { CSS_PX_PER_MM } from "../core/geometry";
import { clock } from "../core/format";
import { LAYOUTS } from "../core/layout";
import { Segmented } from "../ui/Segmented";
import { Select } from "../ui/Select";
import { useSettings } from "../ui/settings";
import type { Actions } from "./actions";
import { GAINS, SPEEDS, useView } from "./store";

export const filterName = (filter: string): string => (filter === "off" ? "off" : `${filter} Hz`);

export function Toolbar({ actions }: { actions: Actions }) {
  const { store } = actions;
  const layout = useView(store, (state) => state.layout);
  const focus = useView(store, (state) => state.focus);
  const speed = useView(store, (state) => state.speed);
  const gain = useView(store, (state) => state.gain);
  const filter = useView(store, (state) => state.filter);
  const notch = useView(store, (state) => state.notch);
  const tool = useView(store, (state) => state.tool);
  const snap = useView(store, (state) => state.snap);
  const marks = useView(store, (state) => state.showMarks);
  return (
    <div className="toolbar" role="group" aria-label="ECG view">
      <Segmented
        label="Layout"
        value={layout}
        choices={LAYOUTS.map((one) => ({ value: one.name, text: one.title }))}
        onChange={(name) => store.set({ layout: name, focus: null, zoom: 1, top: 0 })}
      />
      <Segmented
        label="Speed, mm/s"
        value={speed}
        choices={SPEEDS.map((value) => ({ value, text: String(value) }))}
        onChange={(value) => actions.speed(value)}
      />
      <Segmented
        label="Gain, mm/mV"
        value={gain}
        choices={GAINS.map((value) => ({ value, text: String(value) }))}
        onChange={(value) => store.set({ gain: value })}
      />
      <Select
        label="Filter"
        value={filter}
        choices={store.info.filters.map((value) => ({ value, text: filterName(value) }))}
        onChange={(value) => store.set({ filter: value })}
      />
      <Select
        label="Notch"
        value={notch}
        choices={store.info.notch.map((value) => ({ value, text: filterName(value) }))}
        onChange={(value) => store.set({ notch: value })}
      />
      <div className="tools">
        <button
          type="button"
          aria-pressed={tool === "calliper"}
          onClick={() => store.set({ tool: tool === "calliper" ? "pan" : "calliper" })}
        >
          Callipers
        </button>
        {tool === "calliper" && (
          <>
            <button type="button" onClick={() => actions.placeInMiddle()}>
              Place
            </button>
            <button type="button" aria-pressed={snap} onClick={() => store.set({ snap: !snap })}>
              Snap
            </button>
          </>
        )}
        <button type="button" aria-pressed={marks} onClick={() => store.set({ showMarks: !marks })}>
          Marks
        </button>
        {focus && (
          <button type="button" onClick={() => actions.enlarge(null)}>
            All leads
          </button>
        )}
        <span className="zoom">
          <button type="button" aria-label="Zoom out" onClick={() => actions.zoom(0.8)}>
            −
          </button>
          <button type="button" aria-label="Zoom in" onClick={() => actions.zoom(1.25)}>
            +
          </button>
        </span>
      </div>
    </div>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** What one must know to read the paper, always on the screen. */
export function StatusLine({ actions }: { actions: Actions }) {
  const { store } = actions;
  const { calibration } = useSettings();
  const scale = useView(store, (state) => `${state.speed} mm/s · ${state.gain} mm/mV`);
  const filter = useView(store, (state) => `Filter ${filterName(state.filter)} · Notch ${filterName(state.notch)}`);
  const zoom = useView(store, (state) => state.zoom);
  const focus = useView(store, (state) => state.focus);
  const loading = useView(store, (state) => state.loading);
  const where = useView(store, (state) => {
    const { start, window } = state.shown;
    return `${clock(start)} to ${clock(Math.min(store.info.seconds, start + window))} of ${clock(store.info.seconds)}`;
  });
  const saliency = useView(store, (state) => capital(state.saliency?.title ?? ""));
  const error = useView(store, (state) => state.error);
  const measured = calibration !== 1;
  return (
    <div className="statusline">
      <strong>{scale}</strong>
      <span>{filter}</span>
      <span className="to-scale" title={`${(CSS_PX_PER_MM * calibration * zoom).toFixed(2)} pixels a millimetre`}>
        {zoom === 1
          ? `To scale (${measured ? "screen measured" : "1/96 in pixels"})`
          : `Zoom ${(zoom * 100).toFixed(0)} %, not to scale`}
      </span>
      <span className="printed">Not to scale on this print; the PDF report is.</span>
      {zoom !== 1 && (
        <button type="button" className="link" onClick={() => actions.toScale()}>
          to scale
        </button>
      )}
      {focus && <span>Lead {focus} alone</span>}
      {saliency && <strong className="saliency-title">{saliency}</strong>}
      <span className="where">{where}</span>
      {loading && <span role="status">Fetching samples …</span>}
      {error && (
        <span role="alert" className="error">
          {error}
        </span>
      )}
    </div>
  );
}
