/** What the server could not tell from the file: asked with a preview of what it read. */

import { useState } from "react";
import { api, sentenceOf } from "../api/client";
import type { Item, Question } from "../api/types";
import { fixed } from "../core/format";
import { LEADS } from "../core/layout";

export function Questions({ item, onAnswered }: { item: Item; onAnswered(item: Item): void }) {
  const [answers, setAnswers] = useState<Record<string, string>>(() =>
    Object.fromEntries(item.questions.map((question) => [question.field, question.suggested ?? ""])),
  );
  const [error, setError] = useState("");
  const [sending, setSending] = useState(false);
  const complete = item.questions.every((question) => (answers[question.field] ?? "").trim() !== "");

  const send = async () => {
    setError("");
    const body: { rate?: number; units?: string; leads?: string[] } = {};
    if (answers.rate !== undefined) {
      body.rate = Number(answers.rate.replace(",", "."));
      if (!(body.rate > 0)) {
        setError(`"${answers.rate}" is not a number of samples a second: write, for example, 500.`);
        return;
      }
    }
    if (answers.units !== undefined) body.units = answers.units;
    if (answers.leads !== undefined) body.leads = answers.leads.split(/[\s,;]+/).filter(Boolean);
    setSending(true);
    try {
      onAnswered(await api.answer(item.id, body));
    } catch (problem) {
      setError(sentenceOf(problem));
    } finally {
      setSending(false);
    }
  };

  return (
    <form
      className="card questions"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <h2>A question about {item.name}</h2>
      <p className="faint">The file does not say it, and every figure would depend on it.</p>
      {item.questions.map((question) => (
        <Ask
          key={question.field}
          question={question}
          value={answers[question.field] ?? ""}
          onChange={(value) => setAnswers((before) => ({ ...before, [question.field]: value }))}
        />
      ))}
      <Preview item={item} rate={Number(answers.rate)} units={answers.units} />
      {error && (
        <p role="alert" className="error">
          {error}
        </p>
      )}
      <button type="submit" className="primary" disabled={!complete || sending}>
        {sending ? "Sending …" : "Answer and go on"}
      </button>
    </form>
  );
}

const PLACEHOLDER: Record<Question["field"], string> = { rate: "500", units: "mV", leads: LEADS.join(", ") };

function Ask({ question, value, onChange }: { question: Question; value: string; onChange(value: string): void }) {
  const id = `ask-${question.field}`;
  // units are of a few; a rate or names of leads can be others than those offered
  const closed = question.field === "units" && question.options.length > 0;
  return (
    <div className="ask">
      {closed ? <p id={id}>{question.text}</p> : <label htmlFor={id}>{question.text}</label>}
      {question.options.length > 0 && (
        <div className="options" role="group" aria-label={question.text}>
          {question.options.map((option) => (
            <button type="button" key={option} aria-pressed={option === value} onClick={() => onChange(option)}>
              {option}
              {option === question.suggested && <span className="faint"> suggested</span>}
            </button>
          ))}
        </div>
      )}
      {!closed && (
        <input
          id={id}
          value={value}
          inputMode={question.field === "rate" ? "decimal" : "text"}
          placeholder={PLACEHOLDER[question.field]}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </div>
  );
}

/** The first seconds as they were read: with a wrong rate the beats are too near or too far, with wrong units too tall. */
function Preview({ item, rate, units }: { item: Item; rate: number; units: string | undefined }) {
  const { preview, understood } = item;
  const values = preview?.values.filter((value): value is number => value !== null) ?? [];
  if (!preview || values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const height = high - low || 1;
  const [wide, tall] = [600, 120];
  let path = "";
  let open = false;
  preview.values.forEach((value, i) => {
    if (value === null) open = false;
    else {
      const [x, y] = [(i / (preview.values.length - 1)) * wide, 6 + (1 - (value - low) / height) * (tall - 12)];
      path += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      open = true;
    }
  });
  // with an answer in hand the preview says what it would mean
  const read = understood?.rate ?? null;
  const seconds =
    preview.seconds !== null && read && rate > 0
      ? (preview.seconds * read) / rate
      : (preview.seconds ?? (understood && rate > 0 ? understood.samples / rate : null));
  return (
    <figure className="preview">
      <svg viewBox={`0 0 ${wide} ${tall}`} preserveAspectRatio="none" role="img" aria-label={`Preview of lead ${preview.lead}`}>
        <path d={path} vectorEffect="non-scaling-stroke" />
      </svg>
      <figcaption>
        Lead {preview.lead}
        {seconds !== null ? `, ${fixed(seconds, 1)} s` : ""}, from {fixed(low, 2)} to {fixed(high, 2)}
        {units || understood?.units ? ` ${units || understood?.units}` : ", units unknown"}
      </figcaption>
    </figure>
  );
}
