/** The worklist: search, rows, delete all. */

import { useEffect, useState } from "react";
import { api, sentenceOf } from "../api/client";
import type { ServerState } from "../api/types";
import { Confirm } from "../ui/Dialog";
import { DropZone } from "./DropZone";
import { Row } from "./Row";
import type { Worklist } from "./useItems";

export function List(props: { worklist: Worklist; state: ServerState | null; open: string | null; onOpen(id: string | null): void }) {
  const { worklist, open, onOpen } = props;
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState("");
  useEffect(() => setError(worklist.error), [worklist.error]);
  const running = worklist.items.filter((item) => item.status === "running" || item.status === "queued").length;
  return (
    <nav className="worklist" aria-label="Worklist">
      <DropZone state={props.state} worklist={worklist} onFirst={onOpen} />
      <div className="search">
        <input
          type="search"
          id="search"
          aria-label="Search names and notes"
          placeholder="Search names and notes"
          value={worklist.search}
          onChange={(event) => worklist.setSearch(event.target.value)}
        />
      </div>
      {error && (
        <p role="alert" className="error">
          {error}
        </p>
      )}
      <p className="hidden" role="status">
        {`${worklist.total} recordings, ${running} in the queue`}
      </p>
      {worklist.items.length === 0 && !error && (
        <p className="empty">{worklist.search ? "No name or note holds this text." : "No recordings yet."}</p>
      )}
      <ul className="rows">
        {worklist.items.map((item) => (
          <Row key={item.id} item={item} open={item.id === open} onOpen={() => onOpen(item.id)} />
        ))}
      </ul>
      <footer>
        <span className="faint">
          {worklist.total} recording{worklist.total === 1 ? "" : "s"}
          {running ? `, ${running} in the queue` : ""}
        </span>
        {worklist.items.length < worklist.total && (
          <button type="button" className="link" onClick={worklist.more}>
            Show more
          </button>
        )}
        {worklist.total > 0 && (
          <button type="button" className="link danger" onClick={() => setAsking(true)}>
            Delete all
          </button>
        )}
      </footer>
      {asking && (
        <Confirm
          title="Delete all recordings?"
          text="Every recording goes for good, also those that the search hides: files, signals, results and notes. This cannot be undone."
          action="Delete all for good"
          onClose={() => setAsking(false)}
          onYes={() => {
            api.removeAll().then(
              () => {
                onOpen(null);
                worklist.refresh();
              },
              (problem: unknown) => setError(sentenceOf(problem)),
            );
          }}
        />
      )}
    </nav>
  );
}
