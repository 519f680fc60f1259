/** Where the model looked: class, method and window; drawn over the waveform. */

import { useEffect, useState } from "react";
import { api } from "../api/client";
import type { Prediction, Saliency, SaliencyMethod } from "../api/types";
import { useAnswer } from "../api/use";
import { clock, fixed } from "../core/format";
import { Segmented } from "../ui/Segmented";
import { Select } from "../ui/Select";

const METHODS: { value: SaliencyMethod | "none"; text: string }[] = [
  { value: "none", text: "off" },
  { value: "gradcam", text: "Grad-CAM" },
  { value: "integrated_gradients", text: "integrated gradients" },
];

export function SaliencyChooser(props: {
  id: string;
  prediction: Prediction;
  cls: string;
  window: number;
  onClass(cls: string): void;
  onSaliency(saliency: Saliency | null): void;
}) {
  const { id, prediction, cls, window, onSaliency } = props;
  const [method, setMethod] = useState<SaliencyMethod | "none">("none");
  const answer = useAnswer(
    id,
    method === "none" ? null : `${cls}|${method}|${window}`,
    (signal) => api.saliency(id, cls, method, window, signal),
  );
  const found = method === "none" ? null : answer.data;
  const current = found && found.class === cls && found.method === method && found.window === window ? found : null;
  useEffect(() => onSaliency(current), [current, onSaliency]);
  const choices = prediction.classes.filter((row) => row.probability !== null);
  const at = prediction.windows[window];
  return (
    <section className="block saliency" aria-labelledby="saliency-title">
      <h3 id="saliency-title">Saliency</h3>
      {!prediction.model.saliency ? (
        <p className="faint">This model's saliency cannot be computed.</p>
      ) : (
        <>
          <Segmented<SaliencyMethod | "none"> label="Method" value={method} choices={METHODS} onChange={setMethod} />
          <Select
            label="Class"
            value={cls}
            choices={choices.map((row) => ({ value: row.class, text: `${row.class}, ${row.title}` }))}
            onChange={props.onClass}
          />
          {at && (
            <p className="faint">
              Window {window + 1}, {clock(at.start)} to {clock(at.stop)}; another is chosen in the timeline.
            </p>
          )}
          {answer.loading && <p role="status">Computing …</p>}
          {method !== "none" && answer.error && (
            <p role="alert" className="error">
              {answer.error}
            </p>
          )}
          {current && <Said saliency={current} />}
        </>
      )}
    </section>
  );
}

function Said({ saliency }: { saliency: Saliency }) {
  const peaks = saliency.leads
    ? Object.entries(saliency.leads).map(([lead, values]) => ({ name: lead, ...highest(saliency.times, values) }))
    : [{ name: "all leads", ...highest(saliency.times, saliency.values ?? []) }];
  peaks.sort((a, b) => (b.value ?? -1) - (a.value ?? -1));
  return (
    <>
      <p>
        <strong>{saliency.title}</strong>
      </p>
      {saliency.completeness !== null && <p className="faint">Completeness {fixed(saliency.completeness, 2)}</p>}
      {saliency.note && <p className="faint">{saliency.note}</p>}
      <table>
        <caption>Where it is highest</caption>
        <thead>
          <tr>
            <th scope="col">Lead</th>
            <th scope="col" className="number">At</th>
            <th scope="col" className="number">Value</th>
          </tr>
        </thead>
        <tbody>
          {peaks.slice(0, 12).map((peak) => (
            <tr key={peak.name}>
              <th scope="row">{peak.name}</th>
              <td className="number">{peak.time === null ? "–" : clock(peak.time, 2)}</td>
              <td className="number">{fixed(peak.value, 2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function highest(times: readonly number[], values: readonly (number | null)[]): { time: number | null; value: number | null } {
  let best: { time: number | null; value: number | null } = { time: null, value: null };
  values.forEach((value, i) => {
    if (value !== null && (best.value === null || value > best.value)) best = { time: times[i] ?? null, value };
  });
  return best;
}
