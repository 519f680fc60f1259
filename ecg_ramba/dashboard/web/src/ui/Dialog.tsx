/** A modal dialog: the browser's own, which keeps the focus inside and closes with Esc. */

import { type ReactNode, useEffect, useId, useRef } from "react";

export function Dialog({ title, children, onClose }: { title: string; children: ReactNode; onClose(): void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) dialog.current?.close(); // the dark around it
      }}
    >
      <div className="dialog">
        <header>
          <h2 id={heading}>{title}</h2>
          <button type="button" className="quiet" aria-label="Close" onClick={() => dialog.current?.close()}>
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

export function Confirm(props: { title: string; text: string; action: string; onYes(): void; onClose(): void }) {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.text}</p>
      <footer>
        <button type="button" onClick={props.onClose}>
          Keep
        </button>
        <button
          type="button"
          className="danger"
          onClick={() => {
            props.onYes();
            props.onClose();
          }}
        >
          {props.action}
        </button>
      </footer>
    </Dialog>
  );
}
