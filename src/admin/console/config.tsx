/** The configuration: edited and checked, its history, and what is in effect. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ConfigChecked, ConfigDiff, ConfigProblem, ConfigVersion } from "../api.ts";
import { ApiFault } from "./api_client.ts";
import { ConfigEditor, type EditorHandle, ProblemList } from "./config_editor.tsx";
import { faultText, useConsole } from "./context.ts";
import { DiffView } from "./diff_view.tsx";
import * as format from "./format.ts";
import { Table } from "./table.tsx";
import { Dialog, Empty, Fault, Section, Tabs } from "./widgets.tsx";

/** A text is checked when its writer pauses for so long. */
const CHECK_DELAY_MS = 500;

type Page = "edit" | "history" | "effective";

/** What is being written; kept while one looks at other pages of this view. */
interface Draft {
  /** As the server gave it. */
  original: string;
  text: string;
  etag: string;
  source: "file" | "running";
}

export function Configuration() {
  const { live, t } = useConsole();
  const page = useSignal<Page>("edit");
  const draft = useSignal<Draft | null>(null);
  const config = live.status.value?.config;
  return (
    <>
      <h1>{t("nav.config")}</h1>
      {config !== undefined && (
        <p class="lead">
          <code>{config.path}</code>
          {` · ${t("config.generation", { n: config.generation, time: format.dateTime(config.loaded_at) })}`}
        </p>
      )}
      {config?.last_error !== null && config?.last_error !== undefined && (
        <Fault>{t("config.lastError", { reason: config.last_error })}</Fault>
      )}
      <Tabs
        label={t("nav.config")}
        tabs={[
          { key: "edit", title: t("config.edit") },
          { key: "history", title: t("config.history") },
          { key: "effective", title: t("config.effective") },
        ]}
        current={page.value}
        onSelect={(key) => page.value = key}
      />
      {page.value === "edit" && <Editor draft={draft} />}
      {page.value === "history" && <History onRolledBack={() => draft.value = null} />}
      {page.value === "effective" && <Effective />}
    </>
  );
}

function Editor({ draft }: { draft: Signal<Draft | null> }) {
  const { api, attempt, live, may, t } = useConsole();
  const problems = useSignal<ConfigProblem[]>([]);
  const fault = useSignal<ApiFault | null>(null);
  const checking = useSignal(false);
  /** The file could not be had from the server. */
  const unread = useSignal(false);
  const reviewed = useSignal<ConfigChecked | null>(null);
  const editor = useRef<EditorHandle | null>(null);
  const editable = may("editor");

  const load = async () => {
    const loaded = await attempt(async () => {
      const { text, etag, source } = await api.config();
      draft.value = { original: text, text, etag, source };
      problems.value = [];
      fault.value = null;
    });
    unread.value = !loaded;
  };

  /** Null where the text does not validate or the server could not say. */
  const check = async (): Promise<ConfigChecked | null> => {
    const asked = draft.value;
    if (asked === null) return null;
    checking.value = true;
    try {
      const checked = await api.checkConfig(asked.text, asked.etag);
      // Another text is there by now: its own check is on the way.
      if (draft.value !== asked) return null;
      problems.value = checked.warnings;
      fault.value = null;
      return checked;
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      if (draft.value !== asked) return null;
      problems.value = error.problems;
      fault.value = error.code === "invalid_config" ? null : error;
      return null;
    } finally {
      checking.value = false;
    }
  };

  const review = async () => {
    reviewed.value = await check();
    const first = problems.value.find(({ severity, line }) => severity === "error" && line !== null);
    if (reviewed.value === null && typeof first?.line === "number") editor.current?.goTo(first.line);
  };

  const apply = () =>
    attempt(async () => {
      const asked = draft.value;
      if (asked === null) return;
      const applied = await api.applyConfig(asked.text, asked.etag);
      reviewed.value = null;
      await load();
      problems.value = applied.warnings;
      await live.refresh();
      return t("config.applied", { n: applied.generation });
    });

  useEffect(() => {
    if (draft.value === null) load();
  }, [draft.value === null]);

  const text = draft.value?.text;
  useEffect(() => {
    if (text === undefined || !editable) return;
    if (text === draft.value?.original) {
      problems.value = [];
      return;
    }
    const timer = setTimeout(check, CHECK_DELAY_MS);
    return () => clearTimeout(timer);
  }, [text]);

  if (draft.value === null) {
    return unread.value
      ? <button type="button" onClick={load}>{t("retry")}</button>
      : <Empty>{t("loading")}</Empty>;
  }
  const { original, source } = draft.value;
  const changed = text !== original;
  const errors = problems.value.filter(({ severity }) => severity === "error").length;
  return (
    <section class="card">
      {source === "running" && <Fault>{t("config.fromRunning")}</Fault>}
      {!editable && <p class="hint">{t("needs.editor")}</p>}
      <ConfigEditor
        text={draft.value.text}
        problems={problems.value}
        readOnly={!editable}
        onInput={(next) => draft.value = draft.value === null ? null : { ...draft.value, text: next }}
        onSubmit={() => {
          if (editable && changed) review();
        }}
        handle={editor}
      />
      <div class="actions editor-actions">
        <button type="button" class="primary" disabled={!editable || !changed} onClick={review}>
          {t("config.review")}
        </button>
        <button type="button" disabled={!changed} onClick={load}>{t("config.discard")}</button>
        <span class="hint" role="status">
          {checking.value
            ? t("config.checking")
            : errors > 0
            ? t("config.errors", { n: errors })
            : changed
            ? t("config.changed")
            : t("config.unchanged")}
        </span>
      </div>
      {fault.value !== null && (
        <Fault>
          {faultText(fault.value, t)}{" "}
          {fault.value.code === "stale" && <button type="button" onClick={load}>{t("config.reload")}</button>}
        </Fault>
      )}
      <ProblemList problems={problems.value} onGoTo={(line) => editor.current?.goTo(line)} />
      <p class="hint">{t("config.secrets")}</p>
      {reviewed.value !== null && (
        <Dialog
          wide
          title={t("config.reviewTitle")}
          onClose={() => reviewed.value = null}
          actions={
            <>
              <button type="button" onClick={() => reviewed.value = null}>{t("cancel")}</button>
              <button type="button" class="primary" onClick={apply}>{t("config.apply")}</button>
            </>
          }
        >
          <DiffView diff={reviewed.value.diff} />
        </Dialog>
      )}
    </section>
  );
}

function History({ onRolledBack }: { onRolledBack: () => void }) {
  const { api, attempt, live, may, t } = useConsole();
  const versions = useSignal<ConfigVersion[] | null>(null);
  const compared = useSignal<ConfigDiff | null>(null);
  const load = () =>
    attempt(async () => {
      versions.value = (await api.history()).versions;
    });
  useEffect(() => {
    load();
  }, [live.status.value?.config.generation]);
  if (versions.value === null) return <Empty>{t("loading")}</Empty>;
  if (versions.value.length === 0) return <Empty>{t("history.none")}</Empty>;
  const rollback = (id: string) =>
    attempt(async () => {
      const { generation } = await api.rollback(id);
      compared.value = null;
      onRolledBack();
      await Promise.all([load(), live.refresh()]);
      return t("history.rolledBack", { n: generation });
    });
  const compare = (id: string) =>
    attempt(async () => {
      compared.value = await api.historyDiff(id);
    });
  return (
    <Section title={t("config.history")}>
      <Table
        caption={t("config.history")}
        rows={versions.value}
        rowKey={({ id }) => id}
        columns={[
          {
            key: "replaced",
            title: t("history.replaced"),
            cell: ({ replaced_at }) => format.dateTime(replaced_at),
          },
          {
            key: "by",
            title: t("history.by"),
            cell: (version) => (
              <>
                {version.replaced_by}
                <span class="sub">{t(`history.through.${version.replaced_through}`)}</span>
              </>
            ),
          },
          { key: "size", title: t("record.size"), numeric: true, cell: ({ bytes }) => format.bytes(bytes) },
          {
            key: "actions",
            title: t("actions"),
            cell: ({ id }) => (
              <div class="actions">
                <button type="button" onClick={() => compare(id)}>{t("history.compare")}</button>
              </div>
            ),
          },
        ]}
      />
      {compared.value !== null && (
        <RollbackDialog
          version={compared.value}
          allowed={may("editor")}
          onRollback={rollback}
          onClose={() => compared.value = null}
        />
      )}
    </Section>
  );
}

function RollbackDialog(
  { version, allowed, onRollback, onClose }: {
    version: ConfigDiff;
    allowed: boolean;
    onRollback: (id: string) => void;
    onClose: () => void;
  },
) {
  const { t } = useConsole();
  return (
    <Dialog
      wide
      title={t("history.compareTitle")}
      onClose={onClose}
      actions={
        <>
          <button type="button" onClick={onClose}>{t("cancel")}</button>
          <button
            type="button"
            class="primary"
            disabled={!allowed}
            title={allowed ? undefined : t("needs.editor")}
            onClick={() => onRollback(version.id)}
          >
            {t("history.rollback")}
          </button>
        </>
      }
    >
      <p>{t("history.compareText")}</p>
      <DiffView diff={version.diff} />
    </Dialog>
  );
}

function Effective() {
  const { api, attempt, live, t } = useConsole();
  const text = useSignal<string | null>(null);
  useEffect(() => {
    attempt(async () => {
      text.value = JSON.stringify((await api.configJson()).config, null, 2);
    });
  }, [live.status.value?.config.generation]);
  if (text.value === null) return <Empty>{t("loading")}</Empty>;
  return (
    <Section title={t("config.effective")}>
      <p class="hint">{t("config.effectiveHint")}</p>
      <pre class="source" tabIndex={0}>{text.value}</pre>
    </Section>
  );
}
