/** The four-group summary with the rule that makes it. */

import type { Prediction } from "../api/types";
import { percent } from "../core/format";

export function Groups({ prediction }: { prediction: Prediction }) {
  return (
    <section className="block" aria-labelledby="groups-title">
      <h3 id="groups-title">Rhythm group</h3>
      <ul className="groups">
        {prediction.groups.map((one, i) => (
          <li key={one.group} className={`g${i}`}>
            <span className="name">{one.group}</span>
            <span className="bar" aria-hidden="true">
              <span style={{ width: `${(one.probability ?? 0) * 100}%` }} />
            </span>
            <span className="number">{percent(one.probability)}</span>
            <span className="faint from">from {one.from.join(", ") || "no class of this model"}</span>
          </li>
        ))}
      </ul>
      <p className="rule">{prediction.rule}</p>
    </section>
  );
}
