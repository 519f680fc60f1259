/** The reading room: worklist, ECG, findings. The open recording is in the address, so Back works. */

import { useCallback, useEffect, useState } from "react";
import { api } from "./api/client";
import { useAnswer } from "./api/use";
import type { ServerState } from "./api/types";
import { Record } from "./Record";
import { Help } from "./ui/Help";
import { Screen } from "./ui/Screen";
import { Training } from "./ui/Training";
import { List } from "./worklist/List";
import { useServer } from "./worklist/useItems";

const NOTICE = "A research tool, not a medical device.";

function useOpen(): [string | null, (id: string | null) => void] {
  const read = () => decodeURIComponent(/^#\/r\/(.+)$/.exec(location.hash)?.[1] ?? "") || null;
  const [open, setOpen] = useState(read);
  useEffect(() => {
    const changed = () => setOpen(read());
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  const go = useCallback((id: string | null) => {
    location.hash = id ? `#/r/${encodeURIComponent(id)}` : "#/";
  }, []);
  return [open, go];
}

/** Keys that act anywhere but in a field. */
function useGlobalKeys(help: () => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select, dialog")) return;
      if (event.key === "?") help();
      else if (event.key === "/") document.getElementById("search")?.focus();
      else if (event.key.toLowerCase() === "e") document.querySelector<HTMLElement>(".paper canvas")?.focus();
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [help]);
}

export function App() {
  const { worklist, state, lost } = useServer();
  const [open, setOpen] = useOpen();
  const [wide, setWide] = useState(false);
  const [dialog, setDialog] = useState<"help" | "screen" | null>(null);
  useGlobalKeys(useCallback(() => setDialog("help"), []));

  const listed = worklist.items.find((item) => item.id === open) ?? null;
  // The search may hide the open recording, or it is old: then it is asked for by itself.
  const alone = useAnswer(open, open && !listed ? `alone ${worklist.total}` : null, (signal) => api.item(open ?? "", signal));
  const item = listed ?? (open ? alone.data : null);
  useEffect(() => {
    document.title = item ? `${item.name} · ECG-RAMBA` : "ECG-RAMBA reading room";
  }, [item]);

  return (
    <div className={["app", open && "reading", open && wide && "wide"].filter(Boolean).join(" ")}>
      <TopBar state={state} onHelp={() => setDialog("help")} onScreen={() => setDialog("screen")} />
      {lost && (
        <p role="alert" className="lost">
          The server does not answer; trying again. Is ecg-ramba serve still running?
        </p>
      )}
      <div className="columns">
        <List worklist={worklist} state={state} open={open} onOpen={setOpen} />
        {item ? (
          <Record
            key={item.id}
            item={item}
            state={state}
            wide={wide}
            onWide={() => setWide(!wide)}
            onItem={worklist.put}
            onBack={() => setOpen(null)}
            onGone={() => {
              setOpen(null);
              worklist.refresh();
            }}
          />
        ) : (
          <main className="record welcome" aria-label="Reading room">
            {open && alone.error ? (
              <p role="alert" className="error card">
                {alone.error}
              </p>
            ) : (
              <Welcome state={state} />
            )}
          </main>
        )}
      </div>
      {dialog === "help" && <Help onClose={() => setDialog(null)} />}
      {dialog === "screen" && <Screen onClose={() => setDialog(null)} />}
    </div>
  );
}

function TopBar({ state, onHelp, onScreen }: { state: ServerState | null; onHelp(): void; onScreen(): void }) {
  return (
    <>
      <header className="topbar">
        <p className="brand">
          ECG-RAMBA <span>reading room</span>
        </p>
        <p className="notice" data-testid="notice">
          {state?.notice || NOTICE}
        </p>
        <div className="top-actions">
          <button type="button" className="quiet" onClick={onScreen}>
            Screen
          </button>
          <button type="button" className="quiet" onClick={onHelp}>
            Help <kbd>?</kbd>
          </button>
        </div>
      </header>
      {state?.models?.synthetic && (
        <p className="synthetic" role="note" data-testid="synthetic">
          <strong>Trained on synthetic recordings.</strong> Every prediction here comes from a model that has never seen a patient: it says
          nothing of patients.
        </p>
      )}
    </>
  );
}

function Welcome({ state }: { state: ServerState | null }) {
  return (
    <div className="welcome-text">
      <h1>Reading room</h1>
      <p>
        Add a recording to the worklist, then choose it. Everything shown is computed from that recording on this machine, which it never
        leaves.
      </p>
      {state?.models && (
        <dl className="facts-list">
          <div>
            <dt>Model</dt>
            <dd>
              {state.models.name}, {state.models.folds} folds, {state.models.classes.length} classes
            </dd>
          </div>
          <div>
            <dt>Trained on</dt>
            <dd>{state.models.trained_on}</dd>
          </div>
          <div>
            <dt>Digest</dt>
            <dd>
              <code>{state.models.digest}</code>
            </dd>
          </div>
        </dl>
      )}
      {state && !state.models && <Training state={state} />}
    </div>
  );
}
