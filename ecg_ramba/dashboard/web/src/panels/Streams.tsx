/** What drove the class: how its probability changes when a stream is taken away. */

import type { Prediction } from "../api/types";
import { signed } from "../core/format";

export function Streams({ prediction, cls }: { prediction: Prediction; cls: string }) {
  const { streams } = prediction;
  return (
    <section className="block" aria-labelledby="streams-title">
      <h3 id="streams-title">Streams, measured by removal</h3>
      {streams === null ? (
        <p className="faint">This model has one stream only, or none that can be taken away.</p>
      ) : (
        <table className="streams">
          <caption className="hidden">Change of the probability of {cls} when a stream is removed, in percentage points</caption>
          <thead>
            <tr>
              <th scope="col">Without</th>
              <th scope="col" className="number">Change of {cls}</th>
            </tr>
          </thead>
          <tbody>
            {streams.map((one) => {
              const change = one.change[cls] ?? null;
              const points = change === null ? null : change * 100;
              const wide = Math.min(50, Math.abs(points ?? 0) / 2);
              return (
                <tr key={one.stream}>
                  <th scope="row">
                    {one.title}
                    <span className="faint title">{one.how}</span>
                    <svg className="change" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
                      <rect className="track" width="100" height="12" />
                      <rect className={(points ?? 0) < 0 ? "less" : "more"} x={(points ?? 0) < 0 ? 50 - wide : 50} y="2" width={wide} height="8" />
                      <path className="zero" d="M50 0V12" vectorEffect="non-scaling-stroke" />
                    </svg>
                  </th>
                  <td className="number">{points === null ? "–" : `${signed(points, 1)} points`}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}
