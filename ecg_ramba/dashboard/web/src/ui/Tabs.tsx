/** Tabs after the ARIA pattern: arrows go from one to the next. */

import { type ReactNode, useId, useRef } from "react";

export interface Tab {
  name: string;
  title: string;
  content: ReactNode;
}

/** All panels stay in the page, so that a choice made in one is still there; the hidden ones are hidden to all. */
export function Tabs({ label, tabs, at, onChange }: { label: string; tabs: Tab[]; at: string; onChange(name: string): void }) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const move = (step: number) => {
    const next = tabs[(tabs.findIndex((tab) => tab.name === at) + step + tabs.length) % tabs.length];
    if (!next) return;
    onChange(next.name);
    list.current?.querySelector<HTMLElement>(`[data-tab="${next.name}"]`)?.focus();
  };
  return (
    <>
      <div className="tabs" role="tablist" aria-label={label} ref={list}>
        {tabs.map((tab) => (
          <button
            key={tab.name}
            type="button"
            role="tab"
            data-tab={tab.name}
            id={`${id}-${tab.name}`}
            aria-controls={`${id}-${tab.name}-panel`}
            aria-selected={tab.name === at}
            tabIndex={tab.name === at ? 0 : -1}
            onClick={() => onChange(tab.name)}
            onKeyDown={(event) => {
              if (event.key === "ArrowRight") move(1);
              if (event.key === "ArrowLeft") move(-1);
            }}
          >
            {tab.title}
          </button>
        ))}
      </div>
      {tabs.map((tab) => (
        <div key={tab.name} role="tabpanel" id={`${id}-${tab.name}-panel`} aria-labelledby={`${id}-${tab.name}`} hidden={tab.name !== at}>
          {tab.content}
        </div>
      ))}
    </>
  );
}
