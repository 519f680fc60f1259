/** Where recordings come in: drop files anywhere on the page, or choose them. */

import { useEffect, useRef, useState } from "react";
import { api, sentenceOf } from "../api/client";
import type { ServerState } from "../api/types";
import { filesOf, parcelsOf } from "./upload";
import type { Worklist } from "./useItems";

export function DropZone({ state, worklist, onFirst }: { state: ServerState | null; worklist: Worklist; onFirst(id: string): void }) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [sending, setSending] = useState("");
  const [problems, setProblems] = useState<string[]>([]);

  const send = async (files: File[]) => {
    if (!files.length) return;
    const { parcels, refused } = parcelsOf(files, state?.limits ?? null);
    setProblems(refused);
    let sent = 0;
    let first = true;
    for (const parcel of parcels) {
      setSending(`Sending ${sent} of ${files.length} files …`);
      try {
        const { items, skipped } = await api.upload(parcel);
        setProblems((before) => [...before, ...skipped]);
        for (const item of items) worklist.put(item);
        if (first && items[0] && files.length === parcel.length && items.length === 1) onFirst(items[0].id);
        first = false;
      } catch (error) {
        const names = parcel.length === 1 ? parcel[0]?.name : `${parcel.length} files`;
        setProblems((before) => [...before, `${names}: ${sentenceOf(error)}`]);
      }
      sent += parcel.length;
    }
    setSending("");
    worklist.refresh();
  };

  // Anywhere on the page: a file that misses the box must not make the browser leave the page for it.
  const latest = useRef(send);
  latest.current = send;
  useEffect(() => {
    const stop = new AbortController();
    const listen = (name: "dragover" | "dragleave" | "drop", act: (event: DragEvent) => void) =>
      window.addEventListener(name, act, { signal: stop.signal });
    listen("dragover", (event) => {
      event.preventDefault();
      setOver(true);
    });
    listen("dragleave", (event) => {
      if (event.relatedTarget === null) setOver(false);
    });
    listen("drop", (event) => {
      event.preventDefault();
      setOver(false);
      if (!event.dataTransfer) return;
      filesOf(event.dataTransfer).then(
        (files) => latest.current(files),
        (error: unknown) => setProblems([sentenceOf(error)]),
      );
    });
    return () => stop.abort();
  }, []);

  return (
    <div className={over ? "drop over" : "drop"}>
      <input
        ref={input}
        type="file"
        multiple
        className="hidden"
        aria-label="Choose recordings"
        tabIndex={-1}
        onChange={(event) => {
          void send([...(event.target.files ?? [])]);
          event.target.value = ""; // so that the same file can be chosen again
        }}
      />
      <button type="button" className="primary" onClick={() => input.current?.click()}>
        Add recordings
      </button>
      <p className="faint">or drop files here: WFDB (.hea with .dat or .mat, or a .zip), .mat, .csv, .json, EDF, DICOM. They stay on this machine.</p>
      {sending && <p role="status">{sending}</p>}
      {problems.map((problem) => (
        <p key={problem} role="alert" className="error">
          {problem}
        </p>
      ))}
    </div>
  );
}
