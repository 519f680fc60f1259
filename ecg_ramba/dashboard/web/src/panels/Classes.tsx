/** Every class with its probability, the spread over the folds, and its threshold. */

import { useState } from "react";
import type { ClassRow, Prediction } from "../api/types";
import { fixed, percent } from "../core/format";

const FEW = 8;

const inOrder = (rows: readonly ClassRow[]): ClassRow[] =>
  [...rows].sort((a, b) => (b.probability ?? -1) - (a.probability ?? -1));

export function Classes(props: { prediction: Prediction; selected: string; onSelect(cls: string): void }) {
  const [all, setAll] = useState(false);
  const rows = inOrder(props.prediction.classes);
  const chosen = rows.findIndex((row) => row.class === props.selected);
  const shown = all ? rows : rows.slice(0, Math.max(FEW, rows.filter((row) => row.positive).length, chosen + 1));
  return (
    <section className="block" aria-labelledby="classes-title">
      <h3 id="classes-title">
        Classes <span className="faint">ensemble of {props.prediction.model.folds} folds</span>
      </h3>
      <table className="classes">
        <caption className="hidden">Probability of each class, its range over the folds, and its threshold</caption>
        <thead>
          <tr>
            <th scope="col">Class</th>
            <th scope="col" className="number">Probability</th>
            <th scope="col" className="number">Folds</th>
            <th scope="col" className="number">Threshold</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={row.class} className={row.class === props.selected ? "on" : ""} data-class={row.class}>
              <th scope="row">
                <button
                  type="button"
                  className="link"
                  aria-pressed={row.class === props.selected}
                  onClick={() => props.onSelect(row.class)}
                  title={row.title}
                >
                  {row.class}
                </button>
                <span className="faint title">{row.title}</span>
                {row.probability !== null && <Spread row={row} />}
              </th>
              {row.probability === null ? (
                <td colSpan={3} className="faint">
                  {row.why || "no probability"}
                </td>
              ) : (
                <>
                  <td className="number">
                    {percent(row.probability)}
                    {row.positive && <span className="positive">above</span>}
                  </td>
                  <td className="number range">
                    {fixed(row.fold_min === null ? null : row.fold_min * 100, 0)}–
                    {fixed(row.fold_max === null ? null : row.fold_max * 100, 0)} %
                  </td>
                  <td className="number range">{fixed(row.threshold * 100, 0)} %</td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < rows.length && (
        <button type="button" className="link" onClick={() => setAll(true)}>
          Show all {rows.length} classes
        </button>
      )}
      {all && (
        <button type="button" className="link" onClick={() => setAll(false)}>
          Show fewer
        </button>
      )}
    </section>
  );
}

/** Bar: the probability; line: lowest to highest fold; tick: the threshold. */
function Spread({ row }: { row: ClassRow }) {
  const at = (value: number | null) => (value ?? 0) * 100;
  return (
    <svg className={row.positive ? "spread positive" : "spread"} viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">
      <rect className="track" x="0" y="4" width="100" height="8" />
      <rect className="value" x="0" y="4" width={at(row.probability)} height="8" />
      {row.fold_min !== null && row.fold_max !== null && (
        <path className="folds" d={`M${at(row.fold_min)} 8H${at(row.fold_max)}M${at(row.fold_min)} 5.5V10.5M${at(row.fold_max)} 5.5V10.5`} />
      )}
      <path className="threshold" d={`M${at(row.threshold)} 1V15`} />
    </svg>
  );
}
