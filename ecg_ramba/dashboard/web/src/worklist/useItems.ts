/** The worklist: a page of the server's list, kept fresh by its events. */

import { useCallback, useEffect, useRef, useState } from "react";
import { api, isAbort, sentenceOf } from "../api/client";
import type { Item, ServerState } from "../api/types";

const PAGE = 100;

export interface Worklist {
  items: Item[];
  total: number;
  search: string;
  error: string;
  setSearch(text: string): void;
  more(): void;
  refresh(): void;
  put(item: Item): void;
}

/** Everything the server tells as it happens. A lost connection is made again by the browser; then all is read anew. */
function useEvents(onItem: (item: Item) => void, onState: (state: ServerState) => void, onOpen: () => void): boolean {
  const [lost, setLost] = useState(false);
  const handlers = useRef({ onItem, onState, onOpen });
  handlers.current = { onItem, onState, onOpen };
  useEffect(() => {
    const source = new EventSource("/api/events");
    source.addEventListener("item", (event) => handlers.current.onItem(JSON.parse(event.data) as Item));
    source.addEventListener("state", (event) => handlers.current.onState(JSON.parse(event.data) as ServerState));
    source.addEventListener("deleted", () => handlers.current.onOpen());
    source.onopen = () => {
      setLost(false);
      handlers.current.onOpen();
    };
    source.onerror = () => setLost(true);
    return () => source.close();
  }, []);
  return lost;
}

export function useServer(): { worklist: Worklist; state: ServerState | null; lost: boolean } {
  const [state, setState] = useState<ServerState | null>(null);
  const [page, setPage] = useState<{ items: Item[]; total: number }>({ items: [], total: 0 });
  const [search, setSearch] = useState("");
  const [error, setError] = useState("");
  const [wanted, setWanted] = useState(PAGE);
  const [turn, setTurn] = useState(0);

  useEffect(() => {
    const stop = new AbortController();
    const wait = window.setTimeout(
      () => {
        api.list(search, 0, wanted, stop.signal).then(
          (found) => {
            setPage(found);
            setError("");
          },
          (problem: unknown) => {
            if (!isAbort(problem)) setError(sentenceOf(problem));
          },
        );
      },
      search ? 150 : 0,
    );
    return () => {
      window.clearTimeout(wait);
      stop.abort();
    };
  }, [search, wanted, turn]);

  const refresh = useCallback(() => setTurn((before) => before + 1), []);

  const put = useCallback(
    (item: Item) =>
      setPage((before) => {
        const known = before.items.some((one) => one.id === item.id);
        if (known) return { ...before, items: before.items.map((one) => (one.id === item.id ? item : one)) };
        if (search) return before; // whether it matches is for the server to say, at the next search
        const last = before.items.at(-1);
        // news of an old one, which is counted already and is further down than what is shown
        if (last && before.items.length < before.total && item.uploaded <= last.uploaded) return before;
        return { items: [item, ...before.items], total: before.total + 1 };
      }),
    [search],
  );

  const readState = useCallback(() => {
    api.state().then(setState, (problem: unknown) => setError(sentenceOf(problem)));
  }, []);
  useEffect(readState, [readState]);

  const lost = useEvents(put, setState, () => {
    refresh();
    readState();
  });
  return {
    state,
    lost,
    worklist: {
      ...page,
      search,
      error,
      setSearch,
      more: () => setWanted((before) => before + PAGE),
      refresh,
      put,
    },
  };
}
