/** Each RR interval against the next. */

import { memo } from "react";
import type { Beat } from "../api/types";
import { extent, ticks } from "./axes";

const [SIDE, LEFT, BOTTOM] = [230, 40, 30];

export const Poincare = memo(function Poincare({ beats }: { beats: readonly Beat[] }) {
  const pairs: [number, number][] = [];
  for (let i = 1; i < beats.length; i++) {
    const [one, two] = [beats[i - 1]?.rr_ms, beats[i]?.rr_ms];
    if (typeof one === "number" && typeof two === "number") pairs.push([one, two]);
  }
  if (pairs.length < 2) return <p className="faint">A Poincaré plot needs three RR intervals.</p>;
  const [low, high] = extent(pairs.flat(), 150);
  const x = (rr: number) => LEFT + ((rr - low) / (high - low)) * (SIDE - LEFT - 8);
  const y = (rr: number) => 8 + (1 - (rr - low) / (high - low)) * (SIDE - BOTTOM - 8);
  return (
    <figure className="plot square">
      <svg viewBox={`0 0 ${SIDE} ${SIDE}`} role="img" aria-label={`Poincaré plot of ${pairs.length} pairs of RR intervals; the table below has the intervals`}>
        {ticks(low, high).map((value) => (
          <g key={value}>
            <path className="grid" d={`M${LEFT} ${y(value)}H${SIDE - 8}M${x(value)} 8V${SIDE - BOTTOM}`} />
            <text x={LEFT - 5} y={y(value) + 3.5} textAnchor="end">{value.toFixed(0)}</text>
            <text x={x(value)} y={SIDE - BOTTOM + 13} textAnchor="middle">{value.toFixed(0)}</text>
          </g>
        ))}
        <path className="identity" d={`M${x(low)} ${y(low)}L${x(high)} ${y(high)}`} />
        <path className="dots" d={pairs.map(([one, two]) => `M${x(one).toFixed(1)} ${y(two).toFixed(1)}h0`).join("")} />
        <text x={(LEFT + SIDE) / 2} y={SIDE - 3} textAnchor="middle">RR, ms</text>
      </svg>
      <figcaption>Poincaré plot: each RR (across) and the next (up)</figcaption>
    </figure>
  );
});
