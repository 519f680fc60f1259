/** Without a model: the offer to train one on the synthetic cohort, and how far that is. */

import { useState } from "react";
import { api, sentenceOf } from "../api/client";
import type { ServerState } from "../api/types";

export function Training({ state }: { state: ServerState }) {
  const [error, setError] = useState("");
  const [asked, setAsked] = useState(false);
  const { training } = state;
  const start = () => {
    setAsked(true);
    setError("");
    api.train().catch((problem: unknown) => {
      setAsked(false);
      setError(sentenceOf(problem));
    });
  };
  return (
    <section className="card training" aria-labelledby="training-title">
      <h2 id="training-title">No model is loaded</h2>
      {training?.state === "running" ? (
        <div role="status">
          <p>The small model is being trained on synthetic recordings. {training.message}</p>
          <progress aria-label="Training" max={training.total || 1} value={training.total ? training.done : undefined} />
          <p className="faint">
            {training.done} of {training.total} folds
          </p>
        </div>
      ) : (
        <>
          <p>
            Recordings can be read and measured as they are. For predictions, start the server with <code>--models DIR</code>, or train the
            small profile here on the synthetic cohort that comes with the program: it shows how everything works and says nothing of
            patients, and every prediction of it is marked so.
          </p>
          {training?.state === "failed" && (
            <p role="alert" className="error">
              {training.message}
            </p>
          )}
          {error && (
            <p role="alert" className="error">
              {error}
            </p>
          )}
          <button type="button" className="primary" disabled={asked && training === null} onClick={start}>
            Train on the synthetic cohort
          </button>
        </>
      )}
    </section>
  );
}
