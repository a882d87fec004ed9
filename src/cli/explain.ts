/** `dispa explain`: why a request would go where it goes, without sending it. */
import { loadConfig, type LoadOptions } from "../config/load.ts";
import type { Config } from "../config/model.ts";
import { formatProblem } from "../config/problem.ts";
import {
  type ExplainQuestion,
  type Explanation,
  questionOf,
  type QuestionParts,
  type TraceEntry,
} from "../http/explanation.ts";
import type { TrafficRow } from "../traffic/record.ts";
import { recordedQuestion } from "../traffic/recorded_question.ts";
import { CONFIG_FLAGS, configSource } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { parseFlags, UsageError } from "./flags.ts";

const HELP = `Usage: dispa explain [-c FILE] --host HOST [flags]

Takes a request through the steps of the proxy without sending it, and says what each step decides and why.
Targets count as healthy: ask a running proxy at /admin/explain for their true state.

      --host HOST          host asked for, with an optional port
      --path PATH          path and query (default: /)
      --method METHOD      default: GET
      --header 'K: V'      a field of the client; may be given several times
      --client-ip IP       address the connection comes from (default: 127.0.0.1)
      --scheme http|https  how the client reaches the proxy (default: http)
      --request-id ID      explain a recorded request: its host, path, method and client, as the traffic log has them
      --json               one JSON object
  -c, --config FILE        configuration (default: config/config.toml, or $DISPA_CONFIG)

Exit codes: 0 explained, 1 configuration error, 3 the traffic log cannot be read or has no such request, 64 wrong usage.

Examples:
  dispa explain --host api.example.com --path /v1/users
  dispa explain --host example.com --method POST --header 'x-canary: yes' --client-ip 203.0.113.7 --json
  dispa explain --request-id 019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071
`;

export async function explain(args: string[]): Promise<number> {
  const { values } = parseFlags(args, {
    config: CONFIG_FLAGS.config,
    host: { type: "string" },
    path: { type: "string" },
    method: { type: "string" },
    header: { type: "string", multiple: true },
    "client-ip": { type: "string" },
    scheme: { type: "string" },
    "request-id": { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (values.help) {
    console.log(HELP);
    return ExitCode.Ok;
  }
  const given: Partial<QuestionParts> = {
    ...(values.host !== undefined && { host: values.host }),
    ...(values.path !== undefined && { path: values.path }),
    ...(values.method !== undefined && { method: values.method }),
    ...(values.header !== undefined && { headers: values.header }),
    ...(values["client-ip"] !== undefined && { clientIp: values["client-ip"] }),
    ...(values.scheme !== undefined && { scheme: values.scheme }),
  };
  const requestId = values["request-id"];
  if (requestId === undefined) toQuestion(given);
  const { path, load } = configSource(values, false);
  const config = await readConfig(path, load);
  if (config === null) return ExitCode.ConfigError;
  let record: TrafficRow | null = null;
  if (requestId !== undefined) {
    record = await recordOf(config, requestId);
    if (record === null) return ExitCode.DatabaseError;
  }
  const question = toQuestion(record === null ? given : { ...recordedQuestion(record), ...given });
  const { explainOffline } = await import("../runtime/explain_offline.ts");
  const explanation = await explainOffline(config, question);
  console.log(
    values.json ? JSON.stringify({ ...explanation, record }) : describe(question, explanation, record),
  );
  return ExitCode.Ok;
}

function toQuestion(parts: Partial<QuestionParts>): ExplainQuestion {
  const { host } = parts;
  if (host === undefined) throw new UsageError("--host is missing, or --request-id");
  try {
    return questionOf({ ...parts, host });
  } catch (fault) {
    if (fault instanceof TypeError) throw new UsageError(fault.message);
    throw fault;
  }
}

async function readConfig(path: string, load: LoadOptions): Promise<Config | null> {
  const result = await loadConfig(path, load);
  for (const warning of result.warnings) console.error(`warning: ${formatProblem(warning)}`);
  if (result.ok) return result.config;
  for (const problem of result.problems) console.error(formatProblem(problem));
  console.error(`dispa: ${result.problems.length} problem(s) in the configuration`);
  return null;
}

/** Null, and a message, if the log cannot be read or has no such request. */
async function recordOf({ logging }: Config, requestId: string): Promise<TrafficRow | null> {
  const { NO_FILTER } = await import("../traffic/filter.ts");
  const { openReader } = await import("../traffic/query.ts");
  const { TrafficOpenError } = await import("../traffic/sink.ts");
  try {
    const reader = await openReader(logging, null);
    try {
      for await (const row of reader.query({ ...NO_FILTER, requestId }, 1)) return row;
    } finally {
      await reader.close();
    }
    console.error(`dispa: no request "${requestId}" is recorded`);
  } catch (fault) {
    if (!(fault instanceof TrafficOpenError)) throw fault;
    console.error(`dispa: ${fault.message}`);
  }
  return null;
}

function describe(question: ExplainQuestion, explanation: Explanation, record: TrafficRow | null): string {
  const lines = [`${question.method} ${question.scheme}://${question.authority}${question.target}`];
  if (record !== null) {
    lines.push(
      `recorded ${record.timestamp}: status ${record.status_code}, target ${record.target ?? "none"}, ` +
        `route ${record.route ?? "none"}${record.error_message === null ? "" : `, ${record.error_message}`}`,
    );
  }
  lines.push("");
  for (const entry of explanation.steps) lines.push(...describeStep(entry));
  lines.push("", conclusion(explanation));
  if (explanation.upstream !== null) {
    lines.push("", `  ${explanation.upstream.method} ${explanation.upstream.url}`);
    for (const [name, value] of explanation.upstream.headers) lines.push(`  ${name}: ${value}`);
  }
  return lines.join("\n");
}

function describeStep({ step, outcome, summary, details }: TraceEntry): string[] {
  const lines = [`${outcome.padEnd(8)} ${step}: ${summary}`];
  const rows = details === undefined ? [] : Object.values(details).filter(Array.isArray).flat();
  for (const row of rows) lines.push(`           - ${typeof row === "string" ? row : JSON.stringify(row)}`);
  return lines;
}

function conclusion({ outcome, status, code, message, upstream }: Explanation): string {
  switch (outcome) {
    case "forward":
      return `=> forwarded to ${upstream?.target}`;
    case "refuse":
      return `=> refused with ${status} ${code}: ${message}`;
    case "answer":
      return `=> answered with ${status}${message === null ? "" : `: ${message}`}`;
  }
}
