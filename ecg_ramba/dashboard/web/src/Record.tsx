/** One recording: its ECG, what was measured, what the model says. */

import { useCallback, useEffect, useState } from "react";
import { api, sentenceOf } from "./api/client";
import type { Item, Prediction, Saliency, ServerState } from "./api/types";
import { useAnswer } from "./api/use";
import { bytes, clock, day } from "./core/format";
import { Inference } from "./panels/Inference";
import { Measured } from "./panels/Measured";
import { merged, Warnings } from "./panels/Warnings";
import { Confirm } from "./ui/Dialog";
import { Tabs } from "./ui/Tabs";
import { EcgView, useViewing } from "./view/EcgView";
import { Note } from "./worklist/Note";
import { Questions } from "./worklist/Questions";
import { Progress, progressText, StatusBadge } from "./worklist/Row";

interface HeadProps {
  item: Item;
  wide: boolean;
  onWide(): void;
  onGone(): void;
  onBack(): void;
}

export function Record(props: HeadProps & { state: ServerState | null; onItem(item: Item): void }) {
  const { item, state } = props;
  const stage = item.status === "done" ? "done" : `${item.status} ${item.progress?.stage ?? ""}`;
  const readable = item.status === "done" || item.status === "running" || item.status === "queued";
  // While it is being read there is no signal yet; asked again at each stage until there is.
  const signal = useAnswer(item.id, readable ? stage : null, (stop) => api.signal(item.id, stop));
  const [info, setInfo] = useState<{ id: string; info: typeof signal.data }>({ id: item.id, info: null });
  useEffect(() => {
    if (signal.data) setInfo((before) => (before.id === item.id && before.info ? before : { id: item.id, info: signal.data }));
  }, [item.id, signal.data]);
  const viewing = useViewing(item.id, info.id === item.id ? info.info : null);

  const measured = useAnswer(item.id, readable ? stage : null, (stop) => api.measurements(item.id, stop));
  const [prediction, setPrediction] = useState<Prediction | null>(null);
  const [tab, setTab] = useState("inference");
  useEffect(() => setPrediction(null), [item.id]);

  useEffect(() => {
    if (!viewing || !measured.data) return;
    const { rhythm_lead: lead, beats, delineation } = measured.data;
    viewing.actions.store.marks = { lead, beats, delineation };
    viewing.redraw.request();
  }, [measured.data, viewing]);

  const onSaliency = useCallback(
    (saliency: Saliency | null) => viewing?.actions.store.set({ saliency }),
    [viewing],
  );
  const onTime = useCallback((time: number) => viewing?.actions.centreOn(time), [viewing]);
  const warnings = merged(measured.data?.warnings, prediction?.warnings);
  return (
    <>
      <main className="record" aria-label={`Recording ${item.name}`}>
        <Head {...props} shown={viewing !== null} pooling={prediction?.pooling ?? null} />
        {item.error && (
          <p role="alert" className="error card">
            {item.error}
          </p>
        )}
        {item.status === "question" && <Questions item={item} onAnswered={props.onItem} />}
        <Warnings warnings={warnings} ready={item.status === "done" && measured.data !== null} />
        {viewing && <EcgView key={item.id} viewing={viewing} />}
        {readable && !viewing && (
          <p className="empty" role="status">
            {item.status === "done" && signal.error ? signal.error : `The signal is not here yet: ${progressText(item) || "the recording waits its turn"}.`}
          </p>
        )}
      </main>
      {item.status !== "question" && item.status !== "refused" && (
        <aside className="panel" aria-label="Findings">
          <Tabs
            label="Findings"
            at={tab}
            onChange={setTab}
            tabs={[
              {
                name: "inference",
                title: "Model",
                content: (
                  <Inference
                    key={item.id}
                    item={item}
                    state={state}
                    seconds={info.info?.seconds ?? 0}
                    onPrediction={setPrediction}
                    onWindow={(start, stop) => viewing?.actions.centreOn((start + stop) / 2)}
                    onSaliency={onSaliency}
                  />
                ),
              },
              {
                name: "measured",
                title: "Measurements",
                content: measured.data ? (
                  <Measured found={measured.data} onTime={onTime} />
                ) : (
                  <p className="empty" role="status">
                    {item.status === "done" && measured.error ? measured.error : "Nothing is measured yet."}
                  </p>
                ),
              },
              { name: "about", title: "Recording", content: <About item={item} onItem={props.onItem} /> },
            ]}
          />
        </aside>
      )}
    </>
  );
}

function Head({ item, shown, pooling, wide, onWide, onGone, onBack }: HeadProps & { shown: boolean; pooling: string | null }) {
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState("");
  return (
    <header className="record-head">
      <button type="button" className="back quiet" onClick={onBack}>
        ← Worklist
      </button>
      <div className="title">
        <h1>{item.name}</h1>
        {item.status !== "done" && <StatusBadge status={item.status} />}
        <span className="faint facts">
          {item.format}
          {item.understood?.seconds ? ` · ${clock(item.understood.seconds)}` : ""}
          {item.understood?.rate ? ` · ${item.understood.rate} Hz` : ""}
        </span>
        <Progress item={item} />
      </div>
      <div className="documents">
        <Analysis item={item} onError={setError} />
        {shown && <button type="button" className="widen" aria-pressed={wide} onClick={onWide} title="Hide the worklist and the findings">
          Wide
        </button>}
        {item.status === "done" && (
          <>
            <a className="button" href={api.report(item.id, pooling)} download={`${item.name}.pdf`}>
              PDF report
            </a>
            <a className="button" href={api.export(item.id)} download={`${item.name}.json`}>
              JSON
            </a>
          </>
        )}
        <button type="button" className="danger" onClick={() => setAsking(true)}>
          Delete
        </button>
      </div>
      {error && (
        <p role="alert" className="error">
          {error}
        </p>
      )}
      {asking && (
        <Confirm
          title={`Delete ${item.name}?`}
          text="The file, its signal, every result and the note go for good. This cannot be undone."
          action="Delete for good"
          onClose={() => setAsking(false)}
          onYes={() => api.remove(item.id).then(onGone, (problem: unknown) => setError(sentenceOf(problem)))}
        />
      )}
    </header>
  );
}

/** Stop what is being computed, or compute again what was stopped or failed. */
function Analysis({ item, onError }: { item: Item; onError(sentence: string): void }) {
  const [asked, setAsked] = useState("");
  useEffect(() => setAsked(""), [item.status]);
  const ask = (what: "stop" | "analyse") => {
    setAsked(what);
    onError("");
    api[what](item.id).catch((problem: unknown) => {
      setAsked("");
      onError(sentenceOf(problem));
    });
  };
  const atWork = (item.status === "queued" || item.status === "running") && item.progress?.stage !== "reading";
  if (atWork) {
    return (
      <button type="button" disabled={asked === "stop"} onClick={() => ask("stop")}>
        {asked === "stop" ? "Stopping …" : "Stop"}
      </button>
    );
  }
  if (item.error && item.understood && (item.status === "done" || item.status === "failed")) {
    return (
      <button type="button" disabled={asked === "analyse"} onClick={() => ask("analyse")}>
        Analyse again
      </button>
    );
  }
  return null;
}

function About({ item, onItem }: { item: Item; onItem(item: Item): void }) {
  const { understood } = item;
  return (
    <div className="about">
      <Note item={item} onChanged={onItem} />
      <section className="block" aria-labelledby="understood-title">
        <h3 id="understood-title">What was understood</h3>
        <dl className="facts-list">
          <div>
            <dt>File</dt>
            <dd>
              {item.format}, {bytes(item.bytes)}, sent {day(item.uploaded)}
            </dd>
          </div>
          {understood && (
            <>
              <div>
                <dt>Leads</dt>
                <dd>{understood.leads.join(", ")}</dd>
              </div>
              <div>
                <dt>Rate</dt>
                <dd>{understood.rate === null ? "not known" : `${understood.rate} samples a second`}</dd>
              </div>
              <div>
                <dt>Units</dt>
                <dd>{understood.units ?? "not known"}</dd>
              </div>
              <div>
                <dt>Length</dt>
                <dd>
                  {understood.seconds === null ? "" : `${clock(understood.seconds)}, `}
                  {understood.samples} samples
                </dd>
              </div>
            </>
          )}
        </dl>
        {understood && understood.notes.length > 0 && (
          <ul className="notes">
            {understood.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        )}
      </section>
    </div>
  );
}
