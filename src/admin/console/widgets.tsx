/** Small parts that several views are made of. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useConsole } from "./context.ts";

export type Tone = "good" | "warn" | "bad" | "neutral" | "accent";

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}

/** One figure with its name and unit. */
export function Stat(
  { label, value, hint, tone }: { label: string; value: string; hint?: string; tone?: Tone },
) {
  return (
    <div class="stat" data-stat={label}>
      <dt>{label}</dt>
      <dd class={tone === undefined ? "" : `tone-${tone}`}>{value}</dd>
      {hint !== undefined && <dd class="hint">{hint}</dd>}
    </div>
  );
}

export function Section(
  { title, actions, children }: { title: string; actions?: ComponentChildren; children: ComponentChildren },
) {
  const id = useId();
  return (
    <section class="card" aria-labelledby={id}>
      <div class="card-head">
        <h2 id={id}>{title}</h2>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

/** A modal dialog: the browser keeps the focus inside and closes it on Escape. */
export function Dialog(
  { title, onClose, children, actions, wide }: {
    title: string;
    onClose: () => void;
    children: ComponentChildren;
    actions?: ComponentChildren;
    wide?: boolean;
  },
) {
  const { t } = useConsole();
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opened = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opened instanceof HTMLElement) opened.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={wide === true ? "wide" : ""}
      aria-labelledby={id}
      onClose={onClose}
      onClick={(event) => {
        if (event.target === dialog.current) onClose();
      }}
    >
      <div class="dialog-body">
        <div class="card-head">
          <h2 id={id}>{title}</h2>
          <button type="button" class="quiet" onClick={onClose}>{t("close")}</button>
        </div>
        {children}
        {actions !== undefined && <div class="actions dialog-actions">{actions}</div>}
      </div>
    </dialog>
  );
}

/** Asks before something that interrupts others. */
export function Confirm(
  { title, text, action, onConfirm, onClose }: {
    title: string;
    text: string;
    action: string;
    onConfirm: () => void;
    onClose: () => void;
  },
) {
  const { t } = useConsole();
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose}>{t("cancel")}</button>
          <button
            type="button"
            class="primary"
            onClick={() => {
              onConfirm();
              onClose();
            }}
          >
            {action}
          </button>
        </>
      }
    >
      <p>{text}</p>
    </Dialog>
  );
}

/** A share as a bar, for eyes only: the number stands beside it. @param share 0 to 1 */
export function Bar({ share, tone = "accent" }: { share: number; tone?: Tone }) {
  const width = `${(Math.min(1, Math.max(0, share)) * 100).toFixed(1)}%`;
  return (
    <span class="bar" aria-hidden="true">
      <span class={`bar-fill fill-${tone}`} style={{ width }} />
    </span>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Fault({ children }: { children: ComponentChildren }) {
  return <p class="fault" role="alert">{children}</p>;
}

/** A row of buttons of which one is pressed. */
export function Tabs<Key extends string>(
  { label, tabs, current, onSelect }: {
    label: string;
    tabs: readonly { key: Key; title: string }[];
    current: Key;
    onSelect: (key: Key) => void;
  },
) {
  return (
    <div class="tabs" role="group" aria-label={label}>
      {tabs.map(({ key, title }) => (
        <button
          key={key}
          type="button"
          aria-pressed={key === current}
          onClick={() => onSelect(key)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

/** Names and what stands for each. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: string])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
