/** `[security.ddos]` for single requests: what a header may hold, and how a body may come. */
import type { DdosConfig } from "../config/model.ts";
import type { DenialKind, Refusal } from "../http/refusal.ts";

/** What the limits look at, gathered while the header is read. */
export interface RequestFacts {
  /** Fields of the header; the runtime has joined those of one name. */
  fieldCount: number;
  /** Names and values of all fields and `FIELD_OVERHEAD_BYTES` for each. */
  fieldBytes: number;
  /** One whole number (see `http/framing.ts`). */
  contentLength: string | null;
  /** Whether the client sends a body (RFC 9112 section 6.3). */
  hasBody: boolean;
}

/** The colon, the space and the line break of a field. */
export const FIELD_OVERHEAD_BYTES = 4;

export type RequestLimit = (request: RequestFacts) => Refusal | null;

/** A check to run before anything else is done with a request. */
export function requestLimits(ddos: DdosConfig): RequestLimit {
  const { maxHeaders, maxHeaderBytes, maxBodyBytes, requireContentLength } = ddos;
  return ({ fieldCount, fieldBytes, contentLength, hasBody }) => {
    if (fieldCount > maxHeaders) {
      return headersTooLarge("headers_len", `${fieldCount} header fields, at most ${maxHeaders} are taken`);
    }
    if (fieldBytes > maxHeaderBytes) {
      return headersTooLarge(
        "headers_size",
        `a header of ${fieldBytes} bytes, at most ${maxHeaderBytes} are taken`,
      );
    }
    if (!hasBody) return null;
    if (contentLength === null) {
      return requireContentLength
        ? {
          code: "length_required",
          message: "Length required: a body must declare its content-length",
          denial: "length_required",
        }
        : null;
    }
    return maxBodyBytes > 0 && Number(contentLength) > maxBodyBytes
      ? bodyTooLarge("body_too_large", maxBodyBytes)
      : null;
  };
}

function headersTooLarge(denial: DenialKind, what: string): Refusal {
  return {
    code: "headers_too_large",
    message: `Request header fields too large: ${what}`,
    denial,
    close: true,
  };
}

function bodyTooLarge(denial: DenialKind, maxBodyBytes: number): Refusal {
  return {
    code: "body_too_large",
    message: `Content too large: at most ${maxBodyBytes} bytes of a body are taken`,
    denial,
  };
}

/** No body is judged before the client has been waited for so long. */
export const PACE_GRACE_MS = 10_000;

/** Holds one body to its limits while it streams. Only for requests that have one. */
export class BodyGuard {
  readonly #maxBytes: number;
  readonly #minBytesPerSecond: number;
  #bytes = 0;
  /** Time spent waiting for the client, up to the last chunk. */
  #waitedMs = 0;
  /** When the present wait began; null while nobody waits. */
  #waitingSinceMs: number | null = null;

  constructor({ maxBodyBytes, minBodyBytesPerSecond }: DdosConfig) {
    this.#maxBytes = maxBodyBytes;
    this.#minBytesPerSecond = minBodyBytesPerSecond;
  }

  /** More of the body is waited for. */
  waiting(nowMs: number): void {
    this.#waitingSinceMs ??= nowMs;
  }

  /** A chunk has come. @returns what to end the request with, if the body is too large now */
  received(bytes: number, nowMs: number): Refusal | null {
    this.#bytes += bytes;
    this.settled(nowMs);
    return this.#maxBytes > 0 && this.#bytes > this.#maxBytes
      ? bodyTooLarge("body_stream_too_large", this.#maxBytes)
      : null;
  }

  /** Nothing is waited for any more: a chunk has come, or the body has ended. */
  settled(nowMs: number): void {
    if (this.#waitingSinceMs === null) return;
    this.#waitedMs += nowMs - this.#waitingSinceMs;
    this.#waitingSinceMs = null;
  }

  /** To ask now and then. @returns what to end the request with, if the client is too slow */
  tooSlow(nowMs: number): Refusal | null {
    if (this.#minBytesPerSecond === 0 || this.#waitingSinceMs === null) return null;
    const waitedMs = this.#waitedMs + nowMs - this.#waitingSinceMs;
    if (waitedMs < PACE_GRACE_MS || this.#bytes * 1000 >= this.#minBytesPerSecond * waitedMs) return null;
    return {
      code: "slow_client",
      message:
        `Request time-out: ${this.#bytes} bytes of the body came in ${
          Math.round(waitedMs / 1000)
        } seconds, ` +
        `at least ${this.#minBytesPerSecond} a second are wanted`,
      denial: "slow_client",
    };
  }
}

/** A guard for one body; null where the configuration sets it no limits. */
export function bodyGuard(ddos: DdosConfig): BodyGuard | null {
  return ddos.maxBodyBytes === 0 && ddos.minBodyBytesPerSecond === 0 ? null : new BodyGuard(ddos);
}

/** Whether a request's body has been taken from the client to its end, as far as can be told. */
export function isBodyRead(
  request: Pick<RequestFacts, "contentLength" | "hasBody">,
  readBytes: number,
): boolean {
  if (!request.hasBody) return true;
  return request.contentLength === null ? readBytes > 0 : readBytes >= Number(request.contentLength);
}
