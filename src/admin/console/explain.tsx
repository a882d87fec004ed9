/** Why a request would go where it goes: the proxy's own steps, taken without sending anything. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Explained } from "../api.ts";
import { faultText, useConsole } from "./context.ts";
import * as format from "./format.ts";
import type { MessageKey } from "./i18n.ts";
import { statusTone } from "./status_tone.ts";
import { Badge, Empty, Fault, Section, type Tone } from "./widgets.tsx";

type Step = Explained["steps"][number];

const FIELDS = ["host", "path", "method", "client_ip", "scheme", "request_id"] as const;

const EXAMPLES: Record<typeof FIELDS[number], string> = {
  host: "example.com",
  path: "/api/users?id=1",
  method: "GET",
  client_ip: "127.0.0.1",
  scheme: "http",
  request_id: "018f…",
};

/** What is asked: each field once, `header` as lines of `Name: value`. */
type Question = Record<string, string>;

/** The place's query makes a question a link that can be kept: `explain?host=example.com&path=/a`. */
function questionOf(place: string): Question {
  return Object.fromEntries(new URLSearchParams(place.split("?")[1] ?? ""));
}

export function Explain() {
  const { api, place, t } = useConsole();
  const draft = useSignal<Question>(questionOf(place.peek()));
  const answer = useSignal<Explained | null>(null);
  const fault = useSignal<string | null>(null);
  /** Counts the questions, so that a late answer does not replace a newer one. */
  const latest = useRef(0);
  const run = async (question: Question) => {
    const own = ++latest.current;
    answer.value = null;
    fault.value = null;
    try {
      const found = await api.explain(question);
      if (own === latest.current) answer.value = found;
    } catch (error) {
      if (own === latest.current) fault.value = faultText(error, t);
    }
  };
  useEffect(() => {
    draft.value = questionOf(place.value);
    if (Object.keys(draft.value).length > 0) run(draft.value);
    return () => {
      latest.current++;
    };
  }, [place.value]);
  const set = (name: string, value: string) => draft.value = { ...draft.value, [name]: value };
  const ask = () => {
    const given = Object.entries(draft.value).filter(([, value]) => value.trim() !== "");
    const hash = `#/explain?${new URLSearchParams(given)}`;
    if (hash === location.hash) run(draft.value);
    else location.hash = hash;
  };
  return (
    <>
      <h1>{t("nav.explain")}</h1>
      <p class="lead">{t("explain.lead")}</p>
      <section class="card">
        <form
          class="filter-form"
          onSubmit={(event) => {
            event.preventDefault();
            ask();
          }}
        >
          {FIELDS.map((name) => (
            <label class="field" key={name}>
              <span>{t(`explain.${name}`)}</span>
              <input
                name={name}
                value={draft.value[name] ?? ""}
                placeholder={EXAMPLES[name]}
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => set(name, event.currentTarget.value)}
              />
            </label>
          ))}
          <label class="field">
            <span>{t("explain.header")}</span>
            <textarea
              name="header"
              rows={2}
              value={draft.value.header ?? ""}
              placeholder="x-canary: yes"
              spellcheck={false}
              onInput={(event) => set("header", event.currentTarget.value)}
            />
          </label>
          <div class="actions">
            <button type="submit" class="primary">{t("explain.ask")}</button>
          </div>
        </form>
      </section>
      {fault.value !== null && <Fault>{fault.value}</Fault>}
      {answer.value !== null && <Answer answer={answer.value} />}
    </>
  );
}

function Answer({ answer }: { answer: Explained }) {
  const { t } = useConsole();
  const { record, upstream } = answer;
  return (
    <>
      <Section title={t("explain.outcome")}>
        <p role="status">
          <Outcome answer={answer} />
        </p>
        {answer.message !== null && <p>{answer.message}</p>}
        {record !== null && (
          <p class="hint">
            {t("explain.recorded", {
              time: format.dateTime(record.timestamp),
              status: record.status_code,
              target: record.target ?? format.MISSING,
            })}
          </p>
        )}
      </Section>
      <Section title={t("explain.steps")}>
        {answer.steps.length === 0 ? <Empty>{t("explain.noSteps")}</Empty> : (
          <ol class="rows">
            {answer.steps.map((step, index) => <StepRow key={index} step={step} />)}
          </ol>
        )}
      </Section>
      {upstream !== null && (
        <Section title={t("explain.upstream")}>
          <pre class="source">
            {[`${upstream.method} ${upstream.url}`, ...upstream.headers.map(([n, v]) => `${n}: ${v}`)].join("\n")}
          </pre>
        </Section>
      )}
    </>
  );
}

function Outcome({ answer }: { answer: Explained }) {
  const { t } = useConsole();
  const { outcome, status, code, target } = answer;
  if (outcome === "forward") {
    return <Badge tone="good">{t("explain.forward", { target: target ?? format.MISSING })}</Badge>;
  }
  const tone = status === null ? "neutral" : statusTone(status);
  return (
    <Badge tone={tone}>
      {t(`explain.${outcome}`, { status: status ?? format.MISSING, code: code ?? "" })}
    </Badge>
  );
}

const STEP_TONES: Record<Step["outcome"], Tone> = {
  passed: "good",
  chose: "accent",
  answered: "warn",
  refused: "bad",
};

function StepRow({ step }: { step: Step }) {
  const { t } = useConsole();
  const details = Object.entries(step.details ?? {});
  return (
    <li>
      <span>
        <Badge tone={STEP_TONES[step.outcome]}>{t(`step.${step.outcome}` satisfies MessageKey)}</Badge>{" "}
        <strong>{step.step}</strong> {step.summary}
      </span>
      {details.length > 0 && (
        <details class="hint">
          <summary>{t("explain.details")}</summary>
          <pre class="source">{JSON.stringify(step.details, null, 2)}</pre>
        </details>
      )}
    </li>
  );
}
