/** A text area with line numbers, and the problems of the text at their lines. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ConfigProblem } from "../api.ts";
import { useConsole } from "./context.ts";

/** As app.css sets it for `.editor`. */
const LINE_HEIGHT_PX = 20;
const PADDING_PX = 8;

export interface EditorHandle {
  /** Puts the cursor at the start of a line and brings it into view. @param line from 1 */
  goTo(line: number): void;
}

export function ConfigEditor(
  { text, problems, readOnly, onInput, onSubmit, handle }: {
    text: string;
    problems: readonly ConfigProblem[];
    readOnly: boolean;
    onInput: (text: string) => void;
    /** Ctrl or Cmd with S or Enter. */
    onSubmit: () => void;
    /** Filled while the editor is there. */
    handle: { current: EditorHandle | null };
  },
) {
  const { t } = useConsole();
  const area = useRef<HTMLTextAreaElement>(null);
  const scrollTop = useSignal(0);
  const lines = text.split("\n");
  const worst = worstByLine(problems);
  useEffect(() => {
    handle.current = { goTo: (line) => goTo(area.current, line) };
    return () => handle.current = null;
  }, []);
  const offset = { transform: `translateY(${-scrollTop.value}px)` };
  return (
    <div class="editor">
      <div class="gutter" aria-hidden="true">
        <div style={offset}>
          {lines.map((_, index) => (
            <div key={index} class={`line-number ${worst.get(index + 1) ?? ""}`}>{index + 1}</div>
          ))}
        </div>
      </div>
      <div class="editor-main">
        <div class="stripes" aria-hidden="true">
          <div style={offset}>
            {[...worst].map(([line, severity]) => (
              <div
                key={line}
                class={`stripe ${severity}`}
                style={{ top: `${PADDING_PX + (line - 1) * LINE_HEIGHT_PX}px` }}
              />
            ))}
          </div>
        </div>
        <textarea
          ref={area}
          value={text}
          readOnly={readOnly}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          wrap="off"
          aria-label={t("config.text")}
          aria-invalid={problems.some(({ severity }) => severity === "error")}
          aria-describedby="config-problems"
          onInput={(event) => onInput(event.currentTarget.value)}
          onScroll={(event) => scrollTop.value = event.currentTarget.scrollTop}
          onKeyDown={(event) => {
            if ((event.ctrlKey || event.metaKey) && (event.key === "s" || event.key === "Enter")) {
              event.preventDefault();
              onSubmit();
            }
          }}
        />
      </div>
    </div>
  );
}

export function ProblemList(
  { problems, onGoTo }: { problems: readonly ConfigProblem[]; onGoTo: (line: number) => void },
) {
  const { t } = useConsole();
  return (
    <ul id="config-problems" class="problems" aria-live="polite">
      {problems.map((problem) => {
        const { severity, line, column, key, message } = problem;
        const text = (
          <>
            <b class={severity === "error" ? "tone-bad" : "tone-warn"}>{t(`problem.${severity}`)}</b>{" "}
            {line !== null && <span class="mono">{t("problem.at", { line, column: column ?? 1 })}</span>}{" "}
            {key !== "" && <code>{key}</code>} {message}
          </>
        );
        return (
          <li key={`${line}:${column}:${key}:${message}`} data-line={line ?? ""}>
            {line === null
              ? text
              : <button type="button" class="link" onClick={() => onGoTo(line)}>{text}</button>}
          </li>
        );
      })}
    </ul>
  );
}

function worstByLine(problems: readonly ConfigProblem[]): Map<number, ConfigProblem["severity"]> {
  const worst = new Map<number, ConfigProblem["severity"]>();
  for (const { line, severity } of problems) {
    if (line !== null && worst.get(line) !== "error") worst.set(line, severity);
  }
  return worst;
}

function goTo(area: HTMLTextAreaElement | null, line: number): void {
  if (area === null) return;
  const start = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, end === -1 ? area.value.length : end);
  area.scrollTop = Math.max(0, (line - 1) * LINE_HEIGHT_PX - area.clientHeight / 2);
}
