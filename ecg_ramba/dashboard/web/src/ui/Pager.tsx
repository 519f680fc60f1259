/** Long tables in pages. */

import { useState } from "react";

export interface Page {
  from: number;
  to: number;
  total: number;
  turn(step: number): void;
}

export function usePage(total: number, size: number): Page {
  const [number, setNumber] = useState(0);
  const last = Math.max(0, Math.ceil(total / size) - 1);
  const at = Math.min(number, last);
  return {
    from: at * size,
    to: Math.min(total, (at + 1) * size),
    total,
    turn: (step) => setNumber(Math.max(0, Math.min(last, at + step))),
  };
}

export function Pager({ page, what }: { page: Page; what: string }) {
  if (page.from === 0 && page.to === page.total) return null;
  return (
    <p className="pager">
      <button type="button" disabled={page.from === 0} aria-label={`Earlier ${what}`} onClick={() => page.turn(-1)}>
        ‹
      </button>
      <span>
        {page.from + 1}–{page.to} of {page.total}
      </span>
      <button type="button" disabled={page.to === page.total} aria-label={`Later ${what}`} onClick={() => page.turn(1)}>
        ›
      </button>
    </p>
  );
}
