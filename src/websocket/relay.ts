/**
 * Passes messages between the two ends of a WebSocket, holds back the faster one, and ends both together:
 *
 *     how it ended                       the client is told       the upstream is told
 *     the client sent a Close frame      (answered by runtime)    the same code and reason
 *     the client vanished, or is dead    –                        nothing: its connection ends (1006)
 *     the client sent too much           1009 or 1008             1001
 *     the upstream sent a Close frame    the same code, reason    (answered)
 *     the upstream vanished, or is dead  1014                     –
 *     the upstream broke the protocol    1014                     1002, 1007, 1009
 *     no messages for too long           1001                     1001
 *     `close` was called                 what it says             what it says
 *
 * Pings and pongs are each side's own and not passed on.
 */
import {
  BAD_GATEWAY,
  fittingReason,
  GOING_AWAY,
  MESSAGE_TOO_BIG,
  NO_CLOSE_FRAME,
  POLICY_VIOLATION,
} from "./close_codes.ts";
import type { Message } from "./frames.ts";
import type { WebSocketLimits } from "./limits.ts";
import type { Ending, Peer } from "./peer.ts";

export type Direction = "to_target" | "to_client";

/** Why a session ended. The names are label values. */
export type EndCause =
  | "client_closed"
  | "client_lost"
  | "client_silent"
  | "client_message_too_big"
  | "client_too_fast"
  | "target_closed"
  | "target_lost"
  | "target_silent"
  | "target_fault"
  | "idle_timeout"
  | "shutdown";

export interface Passed {
  messages: number;
  /** Payload only: for text, its UTF-8. */
  bytes: number;
}

/** A session that has ended, for the record. */
export interface SessionOutcome {
  by: "client" | "target" | "proxy";
  cause: EndCause;
  /**
   * The code of whoever ended it: 1005 for a Close frame without one, 1006 where the connection ended without
   * a Close frame; if it was the proxy, what it told the client.
   */
  code: number;
  reason: string;
  /** What went wrong, for `error_message`; null for a session that one side closed or that a shutdown ended. */
  error: string | null;
  durationMs: number;
  toTarget: Passed;
  toClient: Passed;
}

export interface SessionObserver {
  /** A message has been queued for the other side. @param bytes of its payload */
  message(direction: Direction, bytes: number): void;
}

interface Verdict {
  by: SessionOutcome["by"];
  cause: EndCause;
  code: number;
  reason: string;
  error: string | null;
}

export class WebSocketSession {
  /** Resolves, once, when both ends are done with; never rejects. */
  readonly ended: Promise<SessionOutcome>;
  readonly #resolve: (outcome: SessionOutcome) => void;
  readonly #client: Peer;
  readonly #upstream: Peer;
  readonly #limits: WebSocketLimits;
  readonly #observer: SessionObserver | null;
  readonly #startedMs = performance.now();
  readonly #toTarget: Passed = { messages: 0, bytes: 0 };
  readonly #toClient: Passed = { messages: 0, bytes: 0 };
  #verdict: Verdict | null = null;
  #isOpen = false;
  #isClientDone = false;
  #isUpstreamDone = false;
  /** Bytes sent to an upstream that asked for a pause which the client's side cannot make. */
  #excessBytes = 0;
  #lastMessageMs = this.#startedMs;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Peer, upstream: Peer, limits: WebSocketLimits, observer: SessionObserver | null) {
    this.#client = client;
    this.#upstream = upstream;
    this.#limits = limits;
    this.#observer = observer;
    const { promise, resolve } = Promise.withResolvers<SessionOutcome>();
    this.ended = promise;
    this.#resolve = resolve;
    client.start({
      opened: () => this.#open(),
      message: (data, bytes) => this.#fromClient(data, bytes),
      drained: () => upstream.resume(),
      ended: (ending) => this.#clientEnded(ending),
    });
  }

  /**
   * Ends the session with a Close frame to both sides; `ended` follows in a few seconds at the most, more
   * only while a slow side still takes what was sent before.
   * @param code one that may be sent (RFC 6455 section 7.4.2), e.g. 1001 for a shutdown
   * @param reason cut at 123 bytes
   */
  close(code: number, reason: string): void {
    this.#closeBoth("shutdown", code, reason, null);
  }

  #open(): void {
    this.#isOpen = true;
    this.#upstream.start({
      opened: () => {},
      message: (data, bytes) => this.#fromUpstream(data, bytes),
      drained: () => {
        this.#excessBytes = 0;
        this.#client.resume();
      },
      ended: (ending) => this.#upstreamEnded(ending),
    });
    this.#watchIdle(this.#limits.idleTimeoutMs);
  }

  #fromClient(data: Message, bytes: number): void {
    if (this.#verdict !== null) return;
    const { maxMessageBytes } = this.#limits;
    if (bytes > maxMessageBytes) {
      const error = `the client sent a message of ${bytes} bytes, allowed are ${maxMessageBytes}`;
      return this.#closeBoth("client_message_too_big", MESSAGE_TOO_BIG, "message too big", error);
    }
    this.#count("to_target", this.#toTarget, bytes);
    if (this.#upstream.send(data)) return;
    this.#client.pause();
    if (this.#client.canPause) return;
    this.#excessBytes += bytes;
    if (this.#excessBytes > maxMessageBytes) {
      const error = "the client sent faster than the target reads, and cannot be held back";
      this.#closeBoth("client_too_fast", POLICY_VIOLATION, "sent faster than the server reads", error);
    }
  }

  #fromUpstream(data: Message, bytes: number): void {
    if (this.#verdict !== null) return;
    this.#count("to_client", this.#toClient, bytes);
    if (!this.#client.send(data)) this.#upstream.pause();
  }

  #count(direction: Direction, passed: Passed, bytes: number): void {
    passed.messages++;
    passed.bytes += bytes;
    if (this.#limits.idleTimeoutMs > 0) this.#lastMessageMs = performance.now();
    this.#observer?.message(direction, bytes);
  }

  #clientEnded(ending: Ending): void {
    this.#isClientDone = true;
    if (this.#verdict === null) {
      this.#judge(clientVerdict(ending));
      if (ending.kind === "closed" && this.#isOpen) {
        this.#upstream.close(ending.code, ending.reason);
        // The answer has to be read, and what comes before it.
        this.#upstream.resume();
      } else {
        this.#isUpstreamDone = true;
        this.#upstream.finish();
      }
    }
    this.#settle();
  }

  #upstreamEnded(ending: Ending): void {
    this.#isUpstreamDone = true;
    if (this.#verdict === null) {
      const verdict = upstreamVerdict(ending);
      this.#judge(verdict);
      if (ending.kind === "closed") this.#client.close(ending.code, ending.reason);
      else this.#client.close(BAD_GATEWAY, verdict.reason);
    }
    this.#settle();
  }

  #closeBoth(cause: EndCause, code: number, reason: string, error: string | null): void {
    if (this.#verdict !== null) return;
    const fitting = fittingReason(reason);
    this.#judge({ by: "proxy", cause, code, reason: fitting, error });
    if (this.#isOpen) {
      // What one side did wrong is no news for the other.
      this.#upstream.close(
        code === MESSAGE_TOO_BIG || code === POLICY_VIOLATION ? GOING_AWAY : code,
        fitting,
      );
      this.#upstream.resume();
    } else {
      this.#isUpstreamDone = true;
      this.#upstream.drop();
    }
    this.#client.close(code, fitting);
    this.#settle();
  }

  #judge(verdict: Verdict): void {
    this.#verdict = verdict;
    clearTimeout(this.#idleTimer);
  }

  #settle(): void {
    if (this.#verdict === null || !this.#isClientDone || !this.#isUpstreamDone) return;
    this.#resolve({
      ...this.#verdict,
      durationMs: performance.now() - this.#startedMs,
      toTarget: this.#toTarget,
      toClient: this.#toClient,
    });
  }

  #watchIdle(delayMs: number): void {
    const { idleTimeoutMs } = this.#limits;
    if (idleTimeoutMs === 0) return;
    this.#idleTimer = setTimeout(() => {
      const leftMs = this.#lastMessageMs + idleTimeoutMs - performance.now();
      if (leftMs > 0) return this.#watchIdle(leftMs);
      const error = `no message passed for ${idleTimeoutMs} ms`;
      this.#closeBoth("idle_timeout", GOING_AWAY, "idle timeout", error);
    }, delayMs);
  }
}

function clientVerdict(ending: Ending): Verdict {
  if (ending.kind === "closed") {
    return { by: "client", cause: "client_closed", code: ending.code, reason: ending.reason, error: null };
  }
  const cause = ending.kind === "silent" ? "client_silent" : "client_lost";
  return { by: "client", cause, code: NO_CLOSE_FRAME, reason: "", error: `client: ${ending.message}` };
}

/** Said to clients: nothing of what the upstream is, or where. */
const REASONS = {
  lost: "connection to the server was lost",
  silent: "the server does not answer",
  fault: "invalid answer from the server",
} as const;

function upstreamVerdict(ending: Ending): Verdict {
  if (ending.kind === "closed") {
    return { by: "target", cause: "target_closed", code: ending.code, reason: ending.reason, error: null };
  }
  return {
    by: "target",
    cause: `target_${ending.kind}`,
    code: NO_CLOSE_FRAME,
    reason: REASONS[ending.kind],
    error: `target: ${ending.message}`,
  };
}
