/** Every RR interval. */

import type { Beat } from "../api/types";
import { clock, fixed } from "../core/format";
import { Pager, usePage } from "../ui/Pager";

export function RrTable({ beats, onTime }: { beats: readonly Beat[]; onTime(time: number): void }) {
  const page = usePage(beats.length, 15);
  if (!beats.length) return null;
  return (
    <>
      <table>
        <caption className="hidden">Beats with their RR intervals</caption>
        <thead>
          <tr>
            <th scope="col">Beat</th>
            <th scope="col">At</th>
            <th scope="col" className="number">RR, ms</th>
            <th scope="col">Remark</th>
          </tr>
        </thead>
        <tbody>
          {beats.slice(page.from, page.to).map((beat, i) => (
            <tr key={beat.time}>
              <th scope="row">{page.from + i + 1}</th>
              <td>
                <button type="button" className="link" onClick={() => onTime(beat.time)}>
                  {clock(beat.time, 3)}
                </button>
              </td>
              <td className="number">{fixed(beat.rr_ms, 0)}</td>
              <td>{beat.abnormal_rr ? "abnormal" : ""}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Pager page={page} what="beats" />
    </>
  );
}
