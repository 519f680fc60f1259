/** What the callipers read, as a table: for screen readers, and to choose, march and remove them. */

import { reading } from "../core/callipers";
import { clock, fixed, signed } from "../core/format";
import type { Actions } from "./actions";
import { useView } from "./store";

export function CalliperTable({ actions }: { actions: Actions }) {
  const callipers = useView(actions.store, (state) => state.callipers);
  const active = useView(actions.store, (state) => state.active);
  const end = useView(actions.store, (state) => state.handle);
  if (!callipers.length) return null;
  return (
    <section className="calliper-table" aria-label="Callipers">
      <table>
        <caption className="hidden">Callipers: interval, rate and amplitude between their two points</caption>
        <thead>
          <tr>
            <th scope="col">Lead</th>
            <th scope="col">From</th>
            <th scope="col" className="number">Δt, ms</th>
            <th scope="col" className="number">Rate, /min</th>
            <th scope="col" className="number">ΔV, mV</th>
            <th scope="col">
              <button type="button" className="link" onClick={() => actions.store.set({ callipers: [], active: null })}>
                Remove all
              </button>
            </th>
          </tr>
        </thead>
        <tbody aria-live="polite">
          {callipers.map((one) => {
            const read = reading(one);
            const name = `callipers on ${one.lead} at ${clock(one.a.time, 3)}`;
            return (
              <tr key={one.id} className={one.id === active ? "on" : ""} data-testid="calliper">
                <th scope="row">
                  <button type="button" className="link" aria-current={one.id === active} onClick={() => actions.activate(one.id)}>
                    {one.lead}
                  </button>
                  {one.id === active && <span className="faint"> end {end === "a" ? 1 : 2}</span>}
                </th>
                <td>{clock(Math.min(one.a.time, one.b.time), 3)}</td>
                <td className="number" data-field="ms">{read.ms.toFixed(1)}</td>
                <td className="number" data-field="rate">{fixed(read.rate, 1)}</td>
                <td className="number" data-field="mv">{signed(read.mv, 3)}</td>
                <td className="actions">
                  <button type="button" aria-pressed={one.marching} aria-label={`March ${name}`} onClick={() => actions.march(one.id)}>
                    March
                  </button>
                  <button type="button" aria-label={`Remove ${name}`} onClick={() => actions.remove(one.id)}>
                    ✕
                  </button>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
