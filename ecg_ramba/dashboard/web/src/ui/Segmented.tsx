/** One of a few choices: radio buttons that look like a row of keys. */

import { useId } from "react";

export function Segmented<T extends string | number>(props: {
  label: string;
  unit?: string;
  value: T;
  choices: readonly { value: T; text: string }[];
  onChange(value: T): void;
}) {
  const name = useId();
  return (
    <fieldset className="segmented">
      <legend>{props.label}</legend>
      <div className="segments">
        {props.choices.map((choice) => (
          <label key={choice.value} className={choice.value === props.value ? "on" : ""}>
            <input
              type="radio"
              name={name}
              checked={choice.value === props.value}
              onChange={() => props.onChange(choice.value)}
            />
            <span>{choice.text}</span>
          </label>
        ))}
        {props.unit && <span className="unit">{props.unit}</span>}
      </div>
    </fieldset>
  );
}
