/** What the model says, with everything one must know to doubt it. */

import { useEffect, useState } from "react";
import { api } from "../api/client";
import type { Item, Prediction, Saliency, ServerState } from "../api/types";
import { useAnswer } from "../api/use";
import { Select } from "../ui/Select";
import { progressText } from "../worklist/Row";
import { Classes } from "./Classes";
import { Groups } from "./Groups";
import { SaliencyChooser } from "./SaliencyChooser";
import { Streams } from "./Streams";
import { Timeline } from "./Timeline";

export function Inference(props: {
  item: Item;
  state: ServerState | null;
  seconds: number;
  onPrediction(prediction: Prediction | null): void;
  onWindow(start: number, stop: number): void;
  onSaliency(saliency: Saliency | null): void;
}) {
  const { item, state, onPrediction } = props;
  const [pooling, setPooling] = useState<string | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const [window, setWindow] = useState(0);
  const model = state?.models?.digest ?? "none";
  // what is said of a recording that is done is why it has no prediction
  const ready = item.status === "done" && !item.error && state?.models !== null;
  const answer = useAnswer(item.id, ready ? `${model}|${pooling}` : null, (signal) => api.prediction(item.id, pooling, signal));
  const prediction = ready ? answer.data : null;
  useEffect(() => onPrediction(prediction), [prediction, onPrediction]);

  if (state && state.models === null) return <p className="empty">No model is loaded, so nothing is predicted. The measurements need none.</p>;
  if (item.status === "queued" || item.status === "running") {
    return <p className="empty" role="status">The model has not come to this recording yet: {progressText(item) || "it waits"}.</p>;
  }
  if (item.error) return <p className="empty">{item.error}</p>;
  if (answer.error && !prediction) return <p role="alert" className="error">{answer.error}</p>;
  if (!prediction) return answer.loading ? <p className="empty" role="status">Reading the prediction …</p> : <p className="empty">Nothing is predicted for this recording.</p>;

  const best = [...prediction.classes].sort((a, b) => (b.probability ?? -1) - (a.probability ?? -1))[0];
  const cls = chosen ?? best?.class ?? "";
  return (
    <div className="inference">
      {prediction.synthetic && <p className="synthetic-note">{prediction.not_for_use}</p>}
      <Groups prediction={prediction} />
      <div className="block pooling">
        <Select
          label="Pooling of the windows"
          value={prediction.pooling}
          choices={prediction.poolings.map((one) => ({ value: one.name, text: one.title }))}
          onChange={setPooling}
        />
        {answer.loading && <span role="status">Pooling …</span>}
      </div>
      <Classes prediction={prediction} selected={cls} onSelect={setChosen} />
      <Timeline
        prediction={prediction}
        cls={cls}
        seconds={props.seconds}
        window={window}
        onWindow={(index) => {
          setWindow(index);
          const at = prediction.windows[index];
          if (at) props.onWindow(at.start, at.stop);
        }}
      />
      <Streams prediction={prediction} cls={cls} />
      <SaliencyChooser id={item.id} prediction={prediction} cls={cls} window={window} onClass={setChosen} onSaliency={props.onSaliency} />
      <p className="digest">
        {prediction.model.name}, trained on {prediction.model.trained_on}, {prediction.model.folds} folds. Digest <code>{prediction.model.digest}</code>
      </p>
    </div>
  );
}
