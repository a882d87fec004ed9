/** The two messages of an exchange as the steps between listener and transport see and change them. */
import type { FlatHeaders } from "./flat_headers.ts";

/** A request on its way to an upstream. The exchange of `proxy/` is one; tests may make their own. */
export interface RequestMessage {
  readonly method: string;
  /** Scheme the client used to reach the proxy. */
  readonly scheme: "http" | "https";
  /** The client's address: the peer's, or what a trusted proxy says it is. IPv4-mapped addresses are IPv4. */
  readonly clientIp: string;
  /** Host the client asked for: lower case, no port, no trailing dot, IPv6 in brackets. Never rewritten. */
  readonly host: string;
  readonly requestId: string;
  /**
   * Path and query as they will be forwarded, before the target's base path: the client's own bytes, one
   * character each, until a step rewrites them.
   */
  target: string;
  /** `target`'s path in its matching form (see `path.ts`). Assigning it rewrites `target` and keeps the query. */
  path: string;
  /** `target`'s query without the question mark, as the client wrote it; null where there is none. */
  readonly query: string | null;
  /**
   * The fields that go to the upstream: the client's end-to-end ones, `host`, `x-forwarded-*` and
   * `x-request-id`. Change them in place (`flat_headers.ts`); framing fields are not among them and must not
   * be added (`isFramingField`).
   */
  readonly headers: FlatHeaders;
}

/** An answer on its way to the client, its body apart. */
export interface ResponseMessage {
  /** 200 to 599. */
  status: number;
  /** End-to-end fields, framing left out except `content-length`; changed in place. */
  headers: FlatHeaders;
}

/** An answer that a step gives in place of an upstream's. */
export interface LocalAnswer {
  status: number;
  headers: FlatHeaders;
  body: string | Uint8Array<ArrayBuffer> | null;
}
