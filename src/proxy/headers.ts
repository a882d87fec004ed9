/** The request's header fields on their way to the upstream (RFC 9110 section 7.6, DESIGN 6 Forwarding). */
import { FIELD_OVERHEAD_BYTES } from "../security/request_limits.ts";
import { EXPLAIN_FIELD } from "./live_explain.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";
import { namedByConnection, removeNamed } from "../upstream/hop_by_hop.ts";

/** What the pipeline needs to know of a request's fields, gathered in one pass. */
export interface RequestFields {
  /** Fields that go on to the upstream as they are, in `FlatHeaders` form; Host and framing are not in it. */
  endToEnd: FlatHeaders;
  host: string | null;
  connection: string | null;
  contentLength: string | null;
  transferEncoding: string | null;
  userAgent: string | null;
  requestId: string | null;
  forwardedFor: string | null;
  forwardedProto: string | null;
  forwardedHost: string | null;
  /** The protocol that the client would rather speak. */
  upgrade: string | null;
  /** Fields of the header, and the bytes they take: for the limits of `[security.ddos]`. */
  fieldCount: number;
  fieldBytes: number;
  /** `x-dispa-explain`: it may hold a token of ours, and goes to no upstream. */
  explain: string | null;
}

/** Reads every field once. Fields of this hop only are left out here; those `Connection` names, below. */
export function readFields(headers: Headers): RequestFields {
  const endToEnd: FlatHeaders = [];
  const fields: RequestFields = {
    endToEnd,
    host: null,
    connection: null,
    contentLength: null,
    transferEncoding: null,
    userAgent: null,
    requestId: null,
    forwardedFor: null,
    forwardedProto: null,
    forwardedHost: null,
    upgrade: null,
    fieldCount: 0,
    fieldBytes: 0,
    explain: null,
  };
  for (const [name, value] of headers) {
    fields.fieldCount++;
    fields.fieldBytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    switch (name) {
      case "host":
        fields.host = value;
        break;
      case "content-length":
        fields.contentLength = value;
        break;
      case "user-agent":
        fields.userAgent = value;
        endToEnd.push(name, value);
        break;
      case "x-request-id":
        fields.requestId = value;
        break;
      case "x-forwarded-for":
        fields.forwardedFor = value;
        break;
      case "x-forwarded-proto":
        fields.forwardedProto = value;
        break;
      case "x-forwarded-host":
        fields.forwardedHost = value;
        break;
      case EXPLAIN_FIELD:
        fields.explain = value;
        break;
      case "upgrade":
        fields.upgrade = value;
        break;
      case "connection":
        fields.connection = value;
        break;
      case "transfer-encoding":
        fields.transferEncoding = value;
        break;
      // Of this hop only (RFC 9110 section 7.6.1), or answered by the listener itself (Expect).
      case "keep-alive":
      case "proxy-connection":
      case "te":
      case "trailer":
      case "http2-settings":
      case "expect":
        break;
      default:
        endToEnd.push(name, value);
    }
  }
  return fields;
}

/** Characters an id may have to be passed on and recorded: visible ASCII, at most 200 of them. */
const REQUEST_ID = /^[\x21-\x7e]{1,200}$/;

/** The client's own request id if it is fit to be recorded, else null. */
export function clientRequestId(fields: RequestFields): string | null {
  return fields.requestId !== null && REQUEST_ID.test(fields.requestId) ? fields.requestId : null;
}

export interface ForwardedContext {
  peerIp: string;
  /** Scheme the client used to reach the proxy. */
  scheme: "http" | "https";
  /** Host as the client wrote it. */
  authority: string;
  requestId: string;
  /** Whether the peer is a proxy whose own X-Forwarded-* fields are believed. */
  trusted: boolean;
}

const X_FORWARDED = "x-forwarded-";

/**
 * The complete field list for the upstream: Host first, the client's end-to-end fields, then who asked.
 * An untrusted client's X-Forwarded-* and Forwarded fields are dropped, so that no upstream believes them.
 */
export function upstreamFields(fields: RequestFields, context: ForwardedContext): FlatHeaders {
  const { endToEnd } = fields;
  const named = fields.connection === null ? null : namedByConnection(fields.connection);
  if (named !== null) removeNamed(endToEnd, named);
  const flat: FlatHeaders = ["host", context.authority];
  const { trusted } = context;
  for (let i = 0; i < endToEnd.length; i += 2) {
    const name = endToEnd[i];
    if (!trusted && (name.startsWith(X_FORWARDED) || name === "forwarded")) continue;
    flat.push(name, endToEnd[i + 1]);
  }
  const chain = trusted && fields.forwardedFor !== null
    ? `${fields.forwardedFor}, ${context.peerIp}`
    : context.peerIp;
  flat.push(
    "x-forwarded-for",
    chain,
    "x-forwarded-proto",
    (trusted && fields.forwardedProto) || context.scheme,
    "x-forwarded-host",
    (trusted && fields.forwardedHost) || context.authority,
    "x-request-id",
    context.requestId,
  );
  return flat;
}
