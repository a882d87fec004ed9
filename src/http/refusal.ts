/** The answers Dispa makes itself: one catalogue of codes (DESIGN 6). */
import type { FlatHeaders } from "./flat_headers.ts";

/** Every `x-dispa-error` code with its status. Part of the public contract: a test pins them. */
export const ERROR_STATUS = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  domain_not_found: 404,
  method_not_allowed: 405,
  slow_client: 408,
  length_required: 411,
  body_too_large: 413,
  /** Another version of WebSocket than ours was asked for. */
  upgrade_required: 426,
  rate_limited: 429,
  headers_too_large: 431,
  /** The client left before it was answered: nobody reads this status, the record keeps it (as nginx does). */
  client_gone: 499,
  internal: 500,
  /** A plugin failed whose `error_strategy` is `fail`. */
  plugin_failed: 500,
  connect_refused: 502,
  connect_timeout: 502,
  reset: 502,
  bad_response: 502,
  tls: 502,
  no_target: 503,
  /** The keys that a token must be verified with cannot be had. */
  auth_unavailable: 503,
  /**
   * Every target has as many requests as `max_connections` allows, and the queue is full or took too long; or
   * the process has no descriptor left for a connection to the target.
   */
  overloaded: 503,
  /** A shutdown did not wait for the request any longer (`server.shutdown_timeout`). */
  shutting_down: 503,
  upstream_timeout: 504,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** Why the security steps turned a request away: the `kind` label of `dispa_security_denied_total` (DESIGN 4). */
export type DenialKind =
  | "headers_len"
  | "headers_size"
  | "body_too_large"
  | "length_required"
  | "rate_limit"
  | "denied_ip"
  | "not_allowed_ip"
  | "auth_apikey"
  | "auth_bearer"
  | "auth_missing"
  | "jwt_invalid"
  | "body_stream_too_large"
  | "slow_client"
  | "too_many_connections";

/** A request that Dispa answers itself. `message` goes to the client: it names what to look at, no secret. */
export interface Refusal {
  code: ErrorCode;
  message: string;
  /** What the traffic record says besides. */
  detail?: string;
  /** Further fields of the answer: `retry-after`, `www-authenticate`. */
  headers?: FlatHeaders;
  /** Whether the connection is closed behind the answer: what follows on it may not be a request (HTTP/1.1). */
  close?: boolean;
  /** Set where the process lacks descriptors or memory: the operator has to know. */
  isShortage?: true;
  /** Set where a security step refuses: it is counted. */
  denial?: DenialKind;
}
