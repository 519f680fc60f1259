/** All keys, from the list that the keyboard itself uses. */

import { KEYS } from "../view/keys";
import { Dialog } from "./Dialog";

export function Help({ onClose }: { onClose(): void }) {
  return (
    <Dialog title="Help" onClose={onClose}>
      <p>
        Drop recordings anywhere on the page, or choose files in the worklist. On the paper: the wheel moves along the recording, with
        Ctrl it zooms; drag to pan; two fingers pinch; a double click enlarges a lead. With the callipers chosen, drag from
        one point to another; drag an end to move it.
      </p>
      <h3>Keys on the ECG</h3>
      <p className="faint">They act while the ECG has the focus: Tab to it, or click on it.</p>
      <dl className="keys">
        {KEYS.filter((key) => key.shown).map((key) => (
          <div key={key.shown}>
            <dt>
              <kbd>{key.shown}</kbd>
            </dt>
            <dd>{key.does}</dd>
          </div>
        ))}
      </dl>
      <h3>Anywhere</h3>
      <dl className="keys">
        <div>
          <dt>
            <kbd>?</kbd>
          </dt>
          <dd>this help</dd>
        </div>
        <div>
          <dt>
            <kbd>/</kbd>
          </dt>
          <dd>search the worklist</dd>
        </div>
        <div>
          <dt>
            <kbd>E</kbd>
          </dt>
          <dd>to the ECG</dd>
        </div>
      </dl>
    </Dialog>
  );
}
