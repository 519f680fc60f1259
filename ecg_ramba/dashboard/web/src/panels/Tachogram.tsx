/** RR intervals in time. */

import { memo } from "react";
import type { Beat } from "../api/types";
import { clock } from "../core/format";
import { extent, ticks } from "./axes";

const [WIDE, TALL, LEFT, BOTTOM] = [380, 130, 38, 18];

/** Drawn again only when the beats are others: a day has a hundred thousand. */
export const Tachogram = memo(function Tachogram({ beats, onTime }: { beats: readonly Beat[]; onTime(time: number): void }) {
  const found = beats.filter((beat): beat is Beat & { rr_ms: number } => beat.rr_ms !== null);
  if (found.length < 2) return <p className="faint">A tachogram needs two RR intervals.</p>;
  const [low, high] = extent(found.map((beat) => beat.rr_ms), 100);
  const first = (found[0] as Beat).time;
  const span = (found.at(-1) as Beat).time - first || 1;
  const x = (time: number) => LEFT + ((time - first) / span) * (WIDE - LEFT - 6);
  const y = (rr: number) => 6 + (1 - (rr - low) / (high - low)) * (TALL - BOTTOM - 6);
  const path = found.map((beat, i) => `${i ? "L" : "M"}${x(beat.time).toFixed(1)} ${y(beat.rr_ms).toFixed(1)}`).join("");
  const dots = (abnormal: boolean) =>
    found.filter((beat) => beat.abnormal_rr === abnormal).map((beat) => `M${x(beat.time).toFixed(1)} ${y(beat.rr_ms).toFixed(1)}h0`).join("");
  return (
    <figure className="plot">
      <svg
        viewBox={`0 0 ${WIDE} ${TALL}`}
        role="img"
        aria-label={`Tachogram of ${found.length} RR intervals; the table below has them all`}
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const at = ((event.clientX - box.left) / box.width) * WIDE;
          onTime(first + ((at - LEFT) / (WIDE - LEFT - 6)) * span);
        }}
      >
        {ticks(low, high).map((value) => (
          <g key={value}>
            <path className="grid" d={`M${LEFT} ${y(value)}H${WIDE - 6}`} />
            <text x={LEFT - 5} y={y(value) + 3.5} textAnchor="end">{value.toFixed(0)}</text>
          </g>
        ))}
        {ticks(first, first + span).map((value) => (
          <text key={value} x={x(value)} y={TALL - 4} textAnchor="middle">{clock(value, 0)}</text>
        ))}
        <path className="series" d={path} />
        {found.length < 400 && <path className="dots" d={dots(false)} />}
        <path className="dots odd" d={dots(true)} />
      </svg>
      <figcaption>Tachogram: RR in ms over time{found.some((beat) => beat.abnormal_rr) ? "; larger dots: abnormal RR" : ""}</figcaption>
    </figure>
  );
});
