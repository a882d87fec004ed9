/** What the traffic record says of a request that failed, besides its code and message. */
import type { TargetConfig } from "../config/model.ts";
import { UpstreamError } from "../upstream/transport.ts";

/** Where a request was when it failed. */
export type FailurePhase = "queue" | "dns" | "connect" | "tls" | "header" | "body";

export interface FailureFacts {
  phase: FailurePhase;
  /** Of the system's error behind it, e.g. `ECONNREFUSED`; null: there was none, or it has no name. */
  errno?: string | null;
  /** Names of all targets that were tried, in this order; where there was only one the record has it anyway. */
  tried?: readonly string[];
  /** The key of the configuration whose time ran out; null: none did. */
  timer?: string | null;
}

/** @returns e.g. `phase=connect errno=ECONNREFUSED attempts=2 tried=a,b` */
export function failureDetail({ phase, errno = null, tried = [], timer = null }: FailureFacts): string {
  let text = `phase=${phase}`;
  if (timer !== null) text += ` timer=${timer}`;
  if (errno !== null) text += ` errno=${errno}`;
  if (tried.length > 1) text += ` attempts=${tried.length} tried=${tried.join(",")}`;
  return text;
}

/** The time-out of one attempt has ended it (`retry.per_try_timeout`, or what `retry.total_timeout` left of it). */
export class AttemptTimeout extends UpstreamError {
  constructor(target: TargetConfig, timeoutMs: number, readonly timer: string) {
    const message = `target "${target.name}" sent no response header within ${
      Math.round(timeoutMs)
    } ms (${timer})`;
    super("upstream_timeout", message, true);
  }
}

/** What is known of an error on the way to a target. @param inBody whether the response header was there */
export function factsOf(error: UpstreamError, target: TargetConfig, inBody: boolean): FailureFacts {
  return {
    phase: inBody ? "body" : phaseOf(error),
    errno: errnoOf(error),
    timer: timerOf(error, target),
  };
}

function phaseOf(error: UpstreamError): FailurePhase {
  switch (error.code) {
    case "connect_refused":
      return causes(error).some(({ message }) => /dns error|lookup address|cannot resolve/.test(message))
        ? "dns"
        : "connect";
    case "connect_timeout":
    case "overloaded":
      return "connect";
    case "tls":
      return "tls";
    default:
      // Nothing went out although it is no failure to connect: the wait for a connection was given up.
      return error.sent ? "header" : "connect";
  }
}

function timerOf(error: UpstreamError, target: TargetConfig): string | null {
  if (error.code === "connect_timeout") return "http_client.connect_timeout_secs";
  if (error.code !== "upstream_timeout") return null;
  const attempt = causes(error).find((cause) => cause instanceof AttemptTimeout);
  if (attempt !== undefined) return attempt.timer;
  return target.timeoutMs === null ? "server.request_timeout" : "targets.targets.timeout";
}

/** Numbers of Linux for where the runtime tells no name (in messages of `fetch`). */
const ERRNO_BY_NUMBER: Readonly<Record<string, string>> = {
  12: "ENOMEM",
  23: "ENFILE",
  24: "EMFILE",
  32: "EPIPE",
  99: "EADDRNOTAVAIL",
  101: "ENETUNREACH",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  105: "ENOBUFS",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
};

function errnoOf(error: UpstreamError): string | null {
  for (const cause of causes(error)) {
    const { code, message } = cause as Error & { code?: unknown };
    if (typeof code === "string" && /^E[A-Z0-9_]+$/.test(code)) return code;
    const number = /\(os error (\d+)\)/.exec(message)?.[1];
    if (number !== undefined) return ERRNO_BY_NUMBER[number] ?? number;
  }
  return null;
}

/** An error and what caused it. */
function causes(error: Error): Error[] {
  const chain: Error[] = [];
  for (let cause: unknown = error; cause instanceof Error && chain.length < 5; cause = cause.cause) {
    chain.push(cause);
  }
  return chain;
}
