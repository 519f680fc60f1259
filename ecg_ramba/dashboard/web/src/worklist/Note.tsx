/** A note on a recording, kept when the field is left. */

import { useEffect, useState } from "react";
import { api, sentenceOf } from "../api/client";
import type { Item } from "../api/types";

export function Note({ item, onChanged }: { item: Item; onChanged(item: Item): void }) {
  const [text, setText] = useState(item.note);
  const [said, setSaid] = useState("");
  useEffect(() => setText(item.note), [item.id, item.note]);
  const keep = () => {
    if (text === item.note) return;
    setSaid("Saving …");
    api.note(item.id, text).then(
      (changed) => {
        onChanged(changed);
        setSaid("Saved");
      },
      (error: unknown) => setSaid(`Not saved: ${sentenceOf(error)}`),
    );
  };
  return (
    <label className="note-field">
      <span>
        Note{" "}
        <span className="faint" role="status">
          {text === item.note ? said : "not saved yet"}
        </span>
      </span>
      <textarea rows={2} value={text} onChange={(event) => setText(event.target.value)} onBlur={keep} />
    </label>
  );
}
