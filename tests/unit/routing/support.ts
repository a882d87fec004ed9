/** What the tests of routing share. */
import assert from "node:assert/strict";
import { checkConfig, formatProblem } from "../../../src/config/mod.ts";
import type { FlatHeaders } from "../../../src/http/flat_headers.ts";
import type { RequestMessage } from "../../../src/http/message.ts";
import { encodePath, matchingPath, splitTarget } from "../../../src/http/path.ts";
import { type RouteOutcome, RouteTable } from "../../../src/routing/mod.ts";

export const TARGETS = ["a", "b", "c", "d"].map((name) =>
  `[[targets.targets]]\nname = "${name}"\nurl = "http://${name}"\n${name > "b" ? 'group = "late"\n' : ""}`
).join("");

/** The table of a `[routing]` section, with targets a, b, c and d, the last two of which are the group `late`. */
export async function tableOf(text: string): Promise<RouteTable> {
  const plugins = ["p", "q", "z"].map((name) =>
    `[[plugins.plugins]]\nname = "${name}"\ntype = "headerinjector"\nstage = "both"\n`
  ).join("");
  const result = await checkConfig(`${text}\n${TARGETS}${plugins}`, {
    path: "x.toml",
    environment: new Map(),
  });
  assert.ok(result.ok, result.ok ? "" : result.problems.map(formatProblem).join("\n"));
  return new RouteTable(result.config.routing, result.config.targets.targets);
}

/** The table of one rule called `r` with these keys. */
export function tableOfRule(keys: string): Promise<RouteTable> {
  return tableOf(`[[routing.rules]]\nname = "r"\n${keys}`);
}

export interface RequestParts {
  method?: string;
  host?: string;
  /** Path and query as the client wrote them. */
  target?: string;
  clientIp?: string;
  headers?: FlatHeaders;
}

class Request implements RequestMessage {
  readonly method: string;
  readonly scheme = "http";
  readonly clientIp: string;
  readonly host: string;
  readonly requestId = "id-1";
  readonly headers: FlatHeaders;
  target: string;

  constructor({ method, host, target, clientIp, headers }: RequestParts) {
    this.method = method ?? "GET";
    this.host = host ?? "example.com";
    this.target = target ?? "/";
    this.clientIp = clientIp ?? "192.0.2.1";
    this.headers = ["host", this.host, ...(headers ?? [])];
  }

  get path(): string {
    const path = matchingPath(splitTarget(this.target).path);
    assert.ok(path !== null, this.target);
    return path;
  }

  set path(path: string) {
    this.target = encodePath(path) + (this.query === null ? "" : `?${this.query}`);
  }

  get query(): string | null {
    return splitTarget(this.target).query;
  }
}

export function request(parts: RequestParts = {}): RequestMessage {
  return new Request(parts);
}

/** The rules that were tried and how that went, one line each. */
export function explained(table: RouteTable, message: RequestMessage): string[] {
  const lines: string[] = [];
  table.match(message, (rule, outcome) => lines.push(`${rule}: ${outcomeText(outcome)}`));
  return lines;
}

function outcomeText(outcome: RouteOutcome): string {
  return outcome.outcome === "failed"
    ? `${outcome.condition} wanted ${outcome.wanted}, found ${outcome.found}`
    : outcome.outcome;
}
