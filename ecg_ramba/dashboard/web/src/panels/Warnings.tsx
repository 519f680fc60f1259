/** What is wrong with the recording, before anything is said of it. */

import type { Warning } from "../api/types";

/** Warnings of both answers, each once, the grave ones first. */
export function merged(...lists: (readonly Warning[] | undefined)[]): Warning[] {
  const seen = new Map<string, Warning>();
  for (const list of lists) for (const one of list ?? []) seen.set(`${one.kind}|${one.text}`, one);
  return [...seen.values()].sort((a, b) => Number(b.severity === "warning") - Number(a.severity === "warning"));
}

export function Warnings({ warnings, ready }: { warnings: Warning[]; ready: boolean }) {
  if (!warnings.length) {
    return ready ? <p className="quality fine">No fault of the recording was found.</p> : null;
  }
  return (
    <section className="quality" aria-label="Quality of the recording">
      <ul>
        {warnings.map((one) => (
          <li key={`${one.kind}${one.text}`} className={one.severity}>
            <span className="mark" aria-hidden="true">
              {one.severity === "warning" ? "!" : "i"}
            </span>
            <span>
              <span className="hidden">{one.severity === "warning" ? "Warning: " : "Note: "}</span>
              {one.text}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
