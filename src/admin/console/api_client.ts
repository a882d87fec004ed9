/** The admin API as the console calls it: typed answers, and faults that say what the server said. */
import type {
  AdminEvents,
  AuditEntries,
  ConfigApplied,
  ConfigChecked,
  ConfigDiff,
  ConfigHistory,
  ConfigJson,
  ConfigProblem,
  Explained,
  Failure,
  FailureCode,
  LiveTrafficEvents,
  Session,
  Status,
  TargetAction,
  TargetChanged,
  TrafficQuery,
  TrafficRecords,
  TrafficStats,
} from "../api.ts";
import { CONFIG_SOURCE_HEADER, CSRF_HEADER } from "../api.ts";

const REQUEST_TIMEOUT_MS = 15_000;
/** A search reads whole log files. */
const SEARCH_TIMEOUT_MS = 60_000;

/** An answer that is not 2xx; `network` where there was none. */
export class ApiFault extends Error {
  override name = "ApiFault";
  constructor(
    readonly code: FailureCode | "network",
    message: string,
    readonly problems: ConfigProblem[] = [],
  ) {
    super(message);
  }
}

export interface ConfigText {
  text: string;
  etag: string;
  /** `running`: the file is not valid TOML, the text is that of the configuration in use. */
  source: "file" | "running";
}

export interface EventHandlers<Events> {
  /** One for each name of an event. */
  on: { [Name in keyof Events]: (data: Events[Name]) => void };
  onOpen(): void;
  /** `ended`: the browser does not try again, because the server refused. */
  onError(ended: boolean): void;
}

export class ApiClient {
  /** @param onUnauthorized called when the login has ended */
  constructor(readonly onUnauthorized: () => void) {}

  session = (): Promise<Session> => this.#json("GET", "session");
  login = (token: string): Promise<Session> => this.#json("POST", "login", { token });
  logout = (): Promise<Session> => this.#json("POST", "logout", {});
  status = (): Promise<Status> => this.#json("GET", "status");
  changeTarget = (action: TargetAction): Promise<TargetChanged> => this.#json("POST", "targets", action);
  configJson = (): Promise<ConfigJson> => this.#json("GET", "config/json");
  history = (): Promise<ConfigHistory> => this.#json("GET", "config/history");
  historyDiff = (id: string): Promise<ConfigDiff> =>
    this.#json("GET", `config/history/${encodeURIComponent(id)}/diff`);
  rollback = (id: string): Promise<ConfigApplied> => this.#json("POST", "config/rollback", { id });
  audit = (limit: number): Promise<AuditEntries> => this.#json("GET", `audit?limit=${limit}`);
  traffic = (query: TrafficQuery): Promise<TrafficRecords> =>
    this.#json("GET", `traffic?${queryString(query)}`, undefined, SEARCH_TIMEOUT_MS);
  trafficStats = (query: TrafficQuery & { by?: string }): Promise<TrafficStats> =>
    this.#json("GET", `traffic/stats?${queryString(query)}`, undefined, SEARCH_TIMEOUT_MS);

  /** `header` holds lines of `Name: value`. */
  explain({ header = "", ...question }: Record<string, string>): Promise<Explained> {
    const lines = header.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const query = [queryString(question), queryStrings("header", lines)].filter((part) => part !== "");
    return this.#json("GET", `explain?${query.join("&")}`, undefined, SEARCH_TIMEOUT_MS);
  }

  async config(): Promise<ConfigText> {
    const response = await this.#send("GET", "config", {});
    return {
      text: await response.text(),
      etag: response.headers.get("etag") ?? "",
      source: response.headers.get(CONFIG_SOURCE_HEADER) === "running" ? "running" : "file",
    };
  }

  checkConfig(text: string, etag: string): Promise<ConfigChecked> {
    return this.#putConfig("config?dry_run=true", text, etag);
  }

  applyConfig(text: string, etag: string): Promise<ConfigApplied> {
    return this.#putConfig("config", text, etag);
  }

  events(handlers: EventHandlers<AdminEvents>): EventSource {
    return openEvents("/admin/events", handlers);
  }

  liveTraffic(query: TrafficQuery, handlers: EventHandlers<LiveTrafficEvents>): EventSource {
    return openEvents(`/admin/traffic/live?${queryString(query)}`, handlers);
  }

  async #putConfig<Answer>(path: string, text: string, etag: string): Promise<Answer> {
    const headers = { "content-type": "application/toml", "if-match": etag };
    const response = await this.#send("PUT", path, { headers, body: text });
    return await response.json();
  }

  async #json<Answer>(
    method: string,
    path: string,
    body?: unknown,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Answer> {
    const init = body === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await this.#send(method, path, init, timeoutMs);
    return await response.json();
  }

  async #send(
    method: string,
    path: string,
    init: { headers?: Record<string, string>; body?: string },
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Response> {
    const headers: Record<string, string> = { accept: "application/json, */*", ...init.headers };
    if (method !== "GET") headers[CSRF_HEADER] = "1";
    let response: Response;
    try {
      response = await fetch(`/admin/${path}`, {
        method,
        headers,
        body: init.body,
        cache: "no-store",
        credentials: "same-origin",
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (error) {
      throw new ApiFault("network", error instanceof Error ? error.message : String(error));
    }
    if (response.ok) return response;
    const fault = await faultOf(response);
    if (response.status === 401 && path !== "login") this.onUnauthorized();
    throw fault;
  }
}

function openEvents<Events>(url: string, handlers: EventHandlers<Events>): EventSource {
  const source = new EventSource(url);
  source.onopen = () => handlers.onOpen();
  source.onerror = () => handlers.onError(source.readyState === EventSource.CLOSED);
  for (const name in handlers.on) {
    source.addEventListener(name, (event) => handlers.on[name](JSON.parse(event.data)));
  }
  return source;
}

async function faultOf(response: Response): Promise<ApiFault> {
  const text = await response.text();
  try {
    const { error }: Failure = JSON.parse(text);
    return new ApiFault(error.code, error.message, error.problems);
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof TypeError)) throw error;
    return new ApiFault("internal", `${response.status} ${response.statusText} ${text.slice(0, 200)}`.trim());
  }
}

function queryString(query: Record<string, string | undefined>): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] =>
    pair[1] !== undefined && pair[1].trim() !== ""
  );
  return new URLSearchParams(pairs.map(([name, value]) => [name, value.trim()])).toString();
}

/** One parameter for each value. */
function queryStrings(name: string, values: readonly string[]): string {
  return new URLSearchParams(values.map((value) => [name, value])).toString();
}
