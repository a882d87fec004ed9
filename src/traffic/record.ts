/**
 * The traffic record: one per request that reached the proxy, refused and failed ones included, and the
 * same for every sink (DESIGN 7). Proxy threads encode it as one NDJSON line; the writer thread passes the
 * bytes on to files and decodes them only for databases.
 */

export interface TrafficRecord {
  /** Unique for ever, sorts by time (UUID version 7, RFC 9562 section 5.7). */
  id: string;
  /** When the request reached the proxy, milliseconds since the epoch, UTC. */
  timestampMs: number;
  /** Value of `X-Request-Id`: the client's own, or `id` where it sent none. */
  requestId: string;
  clientIp: string;
  /** Host of the request as matched: lower case, no port, no trailing dot. "" if there was none. */
  host: string;
  method: string;
  /** Path as the client wrote it, without the query unless `logging.record_query` is set. */
  path: string;
  /** Name of the target that answered or was tried last; null if none was picked. */
  target: string | null;
  /** Status sent to the client. */
  statusCode: number;
  /** From the request's arrival to the end of the answer's body. */
  durationMs: number;
  /** Body bytes received from the client. */
  requestSize: number;
  /** Body bytes sent to the client. */
  responseSize: number;
  userAgent: string | null;
  /** Why it failed, with the `x-dispa-error` code first, e.g. `connect_refused: …`; null if it did not. */
  errorMessage: string | null;
  /** The domain rule or routing rule that took the request; null if none did. */
  route: string | null;
  /** From the first byte sent to the upstream to its response header; null if no header came. */
  upstreamMs: number | null;
  /** Attempts after the first. */
  retries: number;
  /** `http/1.1` or `h2` as far as the runtime tells, and `websocket` for upgraded connections. */
  protocol: string;
  /** Index of the proxy thread that served it. */
  worker: number;
}

/** One batch as it travels from a proxy thread to the writer. */
export interface RecordBatch {
  type: "records";
  /** Whole NDJSON lines in UTF-8, each ended by `\n`. */
  bytes: Uint8Array<ArrayBuffer>;
  count: number;
}

/** Characters that may not stand in a JSON string as they are: RFC 8259 section 7, and lone surrogates. */
// deno-lint-ignore no-control-regex
const NEEDS_ESCAPE = /["\\\x00-\x1f\ud800-\udfff]/;

function text(value: string): string {
  return NEEDS_ESCAPE.test(value) ? JSON.stringify(value) : `"${value}"`;
}

function textOrNull(value: string | null): string {
  return value === null ? "null" : text(value);
}

/** Milliseconds with three decimals at most: a microsecond is finer than the clock that made them. */
function milliseconds(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** ISO 8601 in UTC with milliseconds; what stays the same for a second is made once a second. */
export class TimestampText {
  #second = NaN;
  /** `2026-11-23T20:25:00.` */
  #prefix = "";

  of(timeMs: number): string {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(second * 1000).toISOString().slice(0, -4);
    }
    const ms = timeMs - second * 1000;
    return `${this.#prefix}${ms < 10 ? "00" : ms < 100 ? "0" : ""}${ms}Z`;
  }
}

/**
 * One NDJSON line with its `\n`. Written by hand because it runs once a request: `JSON.stringify` of the
 * same fields takes about twice as long.
 * @param timestamp text of `timestampMs`, for callers that have it cheaper
 */
export function encodeRecord(
  record: TrafficRecord,
  timestamp = new Date(record.timestampMs).toISOString(),
): string {
  return `{"id":"${record.id}","timestamp":"${timestamp}",` +
    `"request_id":${text(record.requestId)},"client_ip":"${record.clientIp}",` +
    `"host":${text(record.host)},"method":${text(record.method)},"path":${text(record.path)},` +
    `"target":${textOrNull(record.target)},"status_code":${record.statusCode},` +
    `"duration_ms":${milliseconds(record.durationMs)},"request_size":${record.requestSize},` +
    `"response_size":${record.responseSize},"user_agent":${textOrNull(record.userAgent)},` +
    `"error_message":${textOrNull(record.errorMessage)},"route":${textOrNull(record.route)},` +
    `"upstream_ms":${record.upstreamMs === null ? "null" : milliseconds(record.upstreamMs)},` +
    `"retries":${record.retries},"protocol":"${record.protocol}","worker":${record.worker}}\n`;
}

/** A record as its NDJSON line and the table `traffic_logs` name it. */
export interface TrafficRow {
  id: string;
  /** ISO 8601 in UTC with milliseconds. */
  timestamp: string;
  request_id: string;
  client_ip: string;
  host: string;
  method: string;
  path: string;
  target: string | null;
  status_code: number;
  duration_ms: number;
  request_size: number;
  response_size: number;
  user_agent: string | null;
  error_message: string | null;
  route: string | null;
  upstream_ms: number | null;
  retries: number;
  protocol: string;
  worker: number;
}

/** Whether a request counts as failed, in `traffic_summary` and in statistics: a 5xx, or a fault noted. */
export function isError(row: Pick<TrafficRow, "status_code" | "error_message">): boolean {
  return row.status_code >= 500 || row.error_message !== null;
}

/** One line's record; null where the line is torn or not a record. */
export function decodeLine(line: string): TrafficRow | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRow(value) ? value : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Whole lines as one JSON array. Newlines inside strings are escaped in JSON, so each one ends a line. */
export function jsonArray(lines: string): string {
  return `[${lines.trimEnd().replaceAll("\n", ",")}]`;
}

/** The records of whole lines; lines that are not records are left out. */
export function decodeLines(lines: string): TrafficRow[] {
  try {
    // One parse for all is about twice as fast as one a line.
    const values: unknown[] = JSON.parse(jsonArray(lines));
    return values.filter(isRow);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return lines.split("\n").map(decodeLine).filter((row) => row !== null);
  }
}

function isRow(value: unknown): value is TrafficRow {
  return typeof value === "object" && value !== null && "id" in value && typeof value.id === "string" &&
    "timestamp" in value && typeof value.timestamp === "string" && "status_code" in value;
}
