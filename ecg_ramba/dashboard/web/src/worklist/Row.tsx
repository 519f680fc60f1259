/** One recording of the worklist. */

import type { Item, Status } from "../api/types";
import { clock, day, percent, roughly, shortDay } from "../core/format";

const SAID: Record<Status, string> = {
  question: "Question",
  queued: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  refused: "Refused",
};

export function StatusBadge({ status }: { status: Status }) {
  return <span className={`badge ${status}`}>{SAID[status]}</span>;
}

export function progressText(item: Item): string {
  if (!item.progress) return "";
  const { stage, done, total, seconds_left: left } = item.progress;
  // how far a wait or a measurement is nobody knows
  return total > 1 ? `${stage}, ${done} of ${total}${left === null || left === undefined ? "" : `, about ${roughly(left)} left`}` : stage;
}

export function Progress({ item }: { item: Item }) {
  if (!item.progress) return null;
  const { done, total } = item.progress;
  return (
    <div className="progress">
      <progress aria-label={`Progress of ${item.name}`} max={total || 1} value={total > 1 ? done : undefined} />
      <span>{progressText(item)}</span>
    </div>
  );
}

export function Row({ item, open, onOpen }: { item: Item; open: boolean; onOpen(): void }) {
  const { summary } = item;
  return (
    <li>
      <button type="button" className={open ? "row open" : "row"} aria-current={open ? "true" : undefined} onClick={onOpen} data-testid="row">
        <span className="top">
          <strong>{item.name}</strong>
          {item.status !== "done" && <StatusBadge status={item.status} />}
          {item.status === "done" && summary?.group && (
            <span className="group">
              {summary.group} <span className="faint">{percent(summary.probability)}</span>
            </span>
          )}
        </span>
        <span className="sub">
          <span>
            {item.format}
            {item.understood?.seconds ? ` · ${clock(item.understood.seconds, 0)}` : ""}
            {item.understood && item.understood.leads.length !== 12
              ? ` · ${item.understood.leads.length} lead${item.understood.leads.length === 1 ? "" : "s"}`
              : ""}
            {summary?.heart_rate ? ` · ${summary.heart_rate.toFixed(0)}/min` : ""}
          </span>
          <time dateTime={item.uploaded} title={day(item.uploaded)}>
            {shortDay(item.uploaded, new Date())}
          </time>
        </span>
        {summary && summary.warnings > 0 && (
          <span className="sub warn">
            {summary.warnings} warning{summary.warnings === 1 ? "" : "s"}
          </span>
        )}
        {item.note && <span className="sub note">{item.note}</span>}
        {item.error && <span className="sub error">{item.error}</span>}
      </button>
      <Progress item={item} />
    </li>
  );
}
