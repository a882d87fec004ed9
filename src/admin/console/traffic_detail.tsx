/** One request in full: where its time went, and why it went where it went. */
import type { TrafficRecord } from "../api.ts";
import { type Console, useConsole } from "./context.ts";
import * as format from "./format.ts";
import { statusTone } from "./status_tone.ts";
import { Badge, Dialog, Facts } from "./widgets.tsx";

export function TrafficDetail({ record, onClose }: { record: TrafficRecord; onClose: () => void }) {
  const { t } = useConsole();
  const facts: [string, string][] = [
    [t("record.time"), `${format.dateTime(record.timestamp)} (${record.timestamp})`],
    [t("filter.request_id"), record.request_id],
    [t("record.id"), record.id],
    [t("filter.client_ip"), record.client_ip],
    [t("filter.host"), record.host || format.MISSING],
    [t("record.path"), record.path],
    [t("record.protocol"), record.protocol],
    [t("record.userAgent"), record.user_agent ?? format.MISSING],
    [t("record.requestSize"), format.bytes(record.request_size)],
    [t("record.responseSize"), format.bytes(record.response_size)],
    [t("record.worker"), String(record.worker)],
  ];
  return (
    <Dialog wide title={`${record.method} ${record.host}${record.path}`} onClose={onClose}>
      <p>
        <Badge tone={statusTone(record.status_code)}>{record.status_code}</Badge>{" "}
        {t("record.in", { duration: format.milliseconds(record.duration_ms) })}
      </p>
      {record.error_message !== null && <p class="fault">{record.error_message}</p>}
      <h3>{t("record.timings")}</h3>
      <Timings record={record} />
      <h3>{t("record.why")}</h3>
      <ol class="reasons">{reasons(record, t).map((reason) => <li key={reason}>{reason}</li>)}</ol>
      <p>
        <a href={`#/explain?request_id=${encodeURIComponent(record.request_id)}`} onClick={onClose}>
          {t("explain.this")}
        </a>
      </p>
      <h3>{t("record.fields")}</h3>
      <Facts facts={facts} />
    </Dialog>
  );
}

function Timings({ record }: { record: TrafficRecord }) {
  const { t } = useConsole();
  const { duration_ms: whole, upstream_ms: upstream } = record;
  if (upstream === null) return <p class="hint">{t("timing.none")}</p>;
  const waited = Math.min(upstream, whole);
  const share = whole === 0 ? 0 : waited / whole;
  const parts = [
    { name: t("timing.upstream"), ms: waited, share, color: "--series-1" },
    { name: t("timing.rest"), ms: whole - waited, share: 1 - share, color: "--series-2" },
  ];
  return (
    <>
      <div class="timing" aria-hidden="true">
        {parts.map(({ name, share, color }) => (
          <span key={name} style={{ width: `${share * 100}%`, background: `var(${color})` }} />
        ))}
      </div>
      <ul class="legend">
        {parts.map(({ name, ms, color }) => (
          <li key={name}>
            <span class="swatch" style={{ background: `var(${color})` }} aria-hidden="true" />
            {name} <b>{format.milliseconds(ms)}</b>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The steps of the request's way as far as its record tells them. */
function reasons(record: TrafficRecord, t: Console["t"]): string[] {
  const steps: string[] = [];
  if (record.route !== null) steps.push(t("why.route", { host: record.host, route: record.route }));
  else if (record.target === null) steps.push(t("why.noRoute", { host: record.host || format.MISSING }));
  if (record.target !== null) {
    steps.push(t("why.target", { target: record.target }));
    if (record.retries > 0) steps.push(t("why.retries", { n: record.retries, target: record.target }));
    steps.push(
      record.upstream_ms === null
        ? t("why.noAnswer", { target: record.target })
        : t("why.answer", { target: record.target, duration: format.milliseconds(record.upstream_ms) }),
    );
  } else {
    steps.push(t("why.own", { status: record.status_code }));
  }
  return steps;
}
