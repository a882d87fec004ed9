/** Messages for tests of what stands between listener and transport. */
import type { FlatHeaders } from "../../src/http/flat_headers.ts";
import type { RequestMessage, ResponseMessage } from "../../src/http/message.ts";
import { encodePath, matchingPath, splitTarget } from "../../src/http/path.ts";

export interface RequestParts {
  method?: string;
  scheme?: "http" | "https";
  clientIp?: string;
  host?: string;
  requestId?: string;
  target?: string;
  /** Beside `host`, which is there if it is not among them. */
  headers?: FlatHeaders;
}

/** A request as the pipeline would have it, with a path that follows its target. */
export function requestMessage(parts: RequestParts = {}): RequestMessage {
  const host = parts.host ?? "example.com";
  const headers = [...(parts.headers ?? [])];
  if (!headers.some((name, index) => index % 2 === 0 && name === "host")) headers.unshift("host", host);
  return new TestRequest({
    method: "GET",
    scheme: "http",
    clientIp: "192.0.2.1",
    requestId: "request-1",
    target: "/",
    ...parts,
    host,
    headers,
  });
}

export function responseMessage(status = 200, headers: FlatHeaders = []): ResponseMessage {
  return { status, headers: [...headers] };
}

class TestRequest implements RequestMessage {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly clientIp: string;
  readonly host: string;
  readonly requestId: string;
  readonly headers: FlatHeaders;
  target: string;

  constructor(parts: Required<RequestParts>) {
    this.method = parts.method;
    this.scheme = parts.scheme;
    this.clientIp = parts.clientIp;
    this.host = parts.host;
    this.requestId = parts.requestId;
    this.target = parts.target;
    this.headers = parts.headers;
  }

  get path(): string {
    const path = matchingPath(splitTarget(this.target).path);
    if (path === null) throw new TypeError(`the path of "${this.target}" has no matching form`);
    return path;
  }

  set path(path: string) {
    const { query } = this;
    this.target = encodePath(path) + (query === null ? "" : `?${query}`);
  }

  get query(): string | null {
    return splitTarget(this.target).query;
  }
}
