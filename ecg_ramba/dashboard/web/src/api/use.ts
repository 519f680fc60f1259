/** One answer of the server as React state. */

import { useEffect, useState } from "react";
import { isAbort, sentenceOf, ServerError } from "./client";

export interface Answer<T> {
  data: T | null;
  error: string;
  /** HTTP status of the refusal, 0 while there is none. */
  status: number;
  loading: boolean;
}

/**
 * Ask whenever `key` changes; null asks nothing. The former answer of the same `subject` stays until the next is here,
 * so that a panel does not blink when, say, the pooling changes; another subject's is never shown.
 */
export function useAnswer<T>(
  subject: string | null,
  key: string | null,
  ask: (signal: AbortSignal) => Promise<T>,
): Answer<T> {
  const [held, setHeld] = useState<{ subject: string | null; answer: Answer<T> }>({
    subject: null,
    answer: { data: null, error: "", status: 0, loading: false },
  });
  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    setHeld((before) => ({
      subject,
      answer: { data: before.subject === subject ? before.answer.data : null, error: "", status: 0, loading: true },
    }));
    ask(stop.signal).then(
      (data) => {
        if (!stop.signal.aborted) setHeld({ subject, answer: { data, error: "", status: 0, loading: false } });
      },
      (error: unknown) => {
        if (stop.signal.aborted || isAbort(error)) return;
        const status = error instanceof ServerError ? error.status : 0;
        setHeld({ subject, answer: { data: null, error: sentenceOf(error), status, loading: false } });
      },
    );
    return () => stop.abort();
    // `ask` is made anew at each render; `key` says whether it would ask something else.
  }, [subject, key]);
  if (key === null || held.subject !== subject) return { data: null, error: "", status: 0, loading: key !== null };
  return held.answer;
}
