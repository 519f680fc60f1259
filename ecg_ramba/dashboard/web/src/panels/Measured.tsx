/** What was measured on the signal, without any model. */

import type { Measurements } from "../api/types";
import { fixed, NONE } from "../core/format";
import { Poincare } from "./Poincare";
import { RrTable } from "./RrTable";
import { Tachogram } from "./Tachogram";

export function Measured({ found, onTime }: { found: Measurements; onTime(time: number): void }) {
  const { heart_rate: rate, rr } = found;
  return (
    <div className="measured">
      <section className="block" aria-labelledby="rate-title">
        <h3 id="rate-title">
          Rate <span className="faint">{found.rhythm_lead ? `R peaks in lead ${found.rhythm_lead}` : "no lead had R peaks"}</span>
        </h3>
        <dl className="figures">
          <Figure name="Heart rate" value={fixed(rate.mean, 0)} unit="/min" />
          <Figure name="Lowest" value={fixed(rate.min, 0)} unit="/min" />
          <Figure name="Highest" value={fixed(rate.max, 0)} unit="/min" />
          <Figure name="Beats" value={String(found.beats.length)} unit="" />
        </dl>
      </section>
      <section className="block" aria-labelledby="intervals-title">
        <h3 id="intervals-title">Intervals</h3>
        <table>
          <caption className="hidden">Intervals of the beats, their spread, and why some are not measurable</caption>
          <thead>
            <tr>
              <th scope="col">Interval</th>
              <th scope="col" className="number">Value</th>
              <th scope="col" className="number">Spread</th>
              <th scope="col" className="number">Beats</th>
            </tr>
          </thead>
          <tbody>
            {found.intervals.map((one) => (
              <tr key={one.name}>
                <th scope="row">{one.name}</th>
                {one.value === null ? (
                  <td colSpan={3} className="why">
                    {one.why || "not measurable"}
                  </td>
                ) : (
                  <>
                    <td className="number">
                      {fixed(one.value, 0)} {one.unit}
                    </td>
                    <td className="number">{one.spread === null ? NONE : `± ${fixed(one.spread, 0)} ${one.unit}`}</td>
                    <td className="number">{one.beats}</td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
        {found.intervals.filter((one) => one.value !== null && one.why).map((one) => (
          <p key={one.name} className="faint">
            {one.name}: {one.why}
          </p>
        ))}
      </section>
      <section className="block" aria-labelledby="rr-title">
        <h3 id="rr-title">RR intervals</h3>
        <dl className="figures">
          <Figure name="Mean" value={fixed(rr.mean_ms, 0)} unit="ms" />
          <Figure name="SD" value={fixed(rr.sd_ms, 0)} unit="ms" />
          <Figure name="Shortest" value={fixed(rr.min_ms, 0)} unit="ms" />
          <Figure name="Longest" value={fixed(rr.max_ms, 0)} unit="ms" />
        </dl>
        <Tachogram beats={found.beats} onTime={onTime} />
        <Poincare beats={found.beats} />
        <RrTable beats={found.beats} onTime={onTime} />
      </section>
      <section className="block" aria-labelledby="hrv-title">
        <h3 id="hrv-title">Heart rate variability</h3>
        <table>
          <caption className="hidden">Heart rate variability</caption>
          <thead>
            <tr>
              <th scope="col">Figure</th>
              <th scope="col" className="number">Value</th>
            </tr>
          </thead>
          <tbody>
            {found.hrv.map((one) => (
              <tr key={one.name}>
                <th scope="row">
                  {one.name}
                  {one.note && one.value !== null && <span className="faint title">{one.note}</span>}
                </th>
                <td className={one.value === null ? "why" : "number"}>
                  {one.value === null ? one.note || "not measurable" : `${Number(one.value.toPrecision(4))} ${one.unit}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}

function Figure({ name, value, unit }: { name: string; value: string; unit: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value === NONE ? <span className="none">not measurable</span> : value} {value !== NONE && <span className="unit">{unit}</span>}
      </dd>
    </div>
  );
}
