/** Theme and the measure of one's own screen: how long 100 mm really are on it. */

import { useState } from "react";
import { CSS_PX_PER_MM } from "../core/geometry";
import { Dialog } from "./Dialog";
import { Segmented } from "./Segmented";
import { changeSettings, type Theme, useSettings } from "./settings";

const SHOWN_MM = 100;

export function Screen({ onClose }: { onClose(): void }) {
  const settings = useSettings();
  const [measured, setMeasured] = useState((SHOWN_MM / settings.calibration).toFixed(1));
  const millimetres = Number(measured.replace(",", "."));
  const valid = millimetres > 30 && millimetres < 300;
  const bar = SHOWN_MM * CSS_PX_PER_MM; // always as the browser has it: what is measured is the browser's error
  return (
    <Dialog title="Screen" onClose={onClose}>
      <Segmented<Theme>
        label="Appearance"
        value={settings.theme}
        choices={[
          { value: "auto", text: "as the system" },
          { value: "light", text: "light" },
          { value: "dark", text: "dark" },
        ]}
        onChange={(theme) => changeSettings({ theme })}
      />
      <h3>Calibration</h3>
      <p>
        A browser takes a pixel for 1/96 inch, which is seldom true. Hold a ruler to the bar and write down how long it is;
        from then on 25 mm/s and 10 mm/mV are true on this screen.
      </p>
      <div className="ruler-room">
        <svg className="ruler" width={bar} height="26" role="img" aria-label="A bar to measure with a ruler">
          <path d={`M.5 3V23M${bar - 0.5} 3V23M0 13H${bar}`} />
        </svg>
      </div>
      <label className="field">
        <span>The bar is</span>
        <input inputMode="decimal" value={measured} onChange={(event) => setMeasured(event.target.value)} />
        <span>mm long</span>
      </label>
      {!valid && <p className="error">Write a length between 30 and 300 mm.</p>}
      <footer>
        <button
          type="button"
          onClick={() => {
            setMeasured(SHOWN_MM.toFixed(1));
            changeSettings({ calibration: 1 });
          }}
        >
          As the browser says
        </button>
        <button
          type="button"
          className="primary"
          disabled={!valid}
          onClick={() => {
            changeSettings({ calibration: SHOWN_MM / millimetres });
            onClose();
          }}
        >
          Use
        </button>
      </footer>
    </Dialog>
  );
}
