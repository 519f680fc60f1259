/** The class's probability in each window; a click goes there. */

import { useState } from "react";
import type { Prediction } from "../api/types";
import { clock, percent } from "../core/format";
import { Pager, usePage } from "../ui/Pager";

export function Timeline(props: {
  prediction: Prediction;
  cls: string;
  seconds: number;
  window: number;
  onWindow(index: number): void;
}) {
  const { prediction, cls, seconds, window } = props;
  const [table, setTable] = useState(false);
  const { windows } = prediction;
  const row = prediction.classes.find((one) => one.class === cls);
  const end = Math.max(seconds, windows.at(-1)?.stop ?? 0) || 1;
  const [wide, tall] = [400, 72];
  const y = (value: number) => 4 + (1 - value) * (tall - 8);
  const edges = edgesOf(windows);
  // all bars are one path: a day has seventeen thousand
  const bar = (i: number): string => {
    const value = windows[i]?.probability[cls];
    if (value === null || value === undefined) return "";
    const x = ((edges[i] as number) / end) * wide;
    const right = ((edges[i + 1] as number) / end) * wide - (windows.length < 60 ? 1 : 0);
    return `M${x.toFixed(2)} ${tall - 4}V${Math.min(tall - 5, y(value)).toFixed(1)}H${Math.max(x + 0.8, right).toFixed(2)}V${tall - 4}Z`;
  };
  const go = (index: number) => props.onWindow(Math.max(0, Math.min(windows.length - 1, index)));
  const chosen = windows[window];
  return (
    <section className="block" aria-labelledby="timeline-title">
      <h3 id="timeline-title">
        {cls} in time <span className="faint">{windows.length} windows</span>
      </h3>
      <div
        className="timeline"
        role="slider"
        tabIndex={0}
        aria-label={`Window of the recording, with the probability of ${cls}`}
        aria-valuemin={1}
        aria-valuemax={windows.length}
        aria-valuenow={window + 1}
        aria-valuetext={chosen ? `window ${window + 1}, ${clock(chosen.start)} to ${clock(chosen.stop)}: ${percent(chosen.probability[cls])}` : "none"}
        onKeyDown={(event) => {
          const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10 }[event.key];
          if (step !== undefined) go(window + step);
          else if (event.key === "Home") go(0);
          else if (event.key === "End") go(windows.length - 1);
          else return;
          event.preventDefault();
        }}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const time = ((event.clientX - box.left) / box.width) * end;
          const at = edges.findIndex((edge) => edge > time);
          if (at > 0) go(at - 1);
        }}
      >
        <svg viewBox={`0 0 ${wide} ${tall}`} preserveAspectRatio="none" aria-hidden="true">
          <rect className="track" x="0" y="0" width={wide} height={tall} />
          <path className="value" d={windows.map((_, i) => bar(i)).join("")} />
          <path className="value on" d={bar(window)} />
          {row && row.probability !== null && <path className="pooled" d={`M0 ${y(row.probability)}H${wide}`} vectorEffect="non-scaling-stroke" />}
          {row && <path className="threshold" d={`M0 ${y(row.threshold)}H${wide}`} vectorEffect="non-scaling-stroke" />}
        </svg>
      </div>
      <p className="legend">
        <span className="line pooled">pooled {percent(row?.probability)}</span>
        <span className="line threshold">threshold {percent(row?.threshold)}</span>
        {chosen && (
          <span>
            {clock(chosen.start)} to {clock(chosen.stop)}: {percent(chosen.probability[cls])}
          </span>
        )}
      </p>
      <button type="button" className="link" aria-expanded={table} onClick={() => setTable(!table)}>
        {table ? "Hide the table" : "As a table"}
      </button>
      {table && <Table prediction={prediction} cls={cls} onWindow={props.onWindow} />}
    </section>
  );
}

/** Windows overlap: each has the time that is nearer to its middle than to any other's. */
export function edgesOf(windows: readonly { start: number; stop: number }[]): number[] {
  const middles = windows.map((one) => (one.start + one.stop) / 2);
  const between = middles.slice(1).map((middle, i) => (middle + (middles[i] as number)) / 2);
  return windows.length ? [(windows[0] as { start: number }).start, ...between, (windows.at(-1) as { stop: number }).stop] : [];
}

function Table({ prediction, cls, onWindow }: { prediction: Prediction; cls: string; onWindow(index: number): void }) {
  const page = usePage(prediction.windows.length, 20);
  return (
    <>
      <table>
        <caption className="hidden">Probability of {cls} in each window</caption>
        <thead>
          <tr>
            <th scope="col">Window</th>
            <th scope="col" className="number">Probability of {cls}</th>
          </tr>
        </thead>
        <tbody>
          {prediction.windows.slice(page.from, page.to).map((one, i) => (
            <tr key={one.start}>
              <th scope="row">
                <button type="button" className="link" onClick={() => onWindow(page.from + i)}>
                  {clock(one.start)} to {clock(one.stop)}
                </button>
              </th>
              <td className="number">{percent(one.probability[cls])}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Pager page={page} what="windows" />
    </>
  );
}
