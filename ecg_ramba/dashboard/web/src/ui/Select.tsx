/** A labelled select. */

export function Select(props: {
  label: string;
  value: string;
  choices: readonly { value: string; text: string }[];
  onChange(value: string): void;
}) {
  return (
    <label className="select">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChange(event.target.value)}>
        {props.choices.map((choice) => (
          <option key={choice.value} value={choice.value}>
            {choice.text}
          </option>
        ))}
      </select>
    </label>
  );
}
