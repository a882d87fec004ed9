/** Whether, and when, a request whose attempt failed may be sent again (RFC 9110 section 9.2.2). Pure. */
import type { RetryCause, RetryConfig } from "../config/model.ts";

/** How an attempt ended that is not simply passed on. */
export type AttemptFailure =
  /** `code` and `sent` of an `UpstreamError`. */
  | { readonly code: string; readonly sent: boolean }
  /** A whole response header. */
  | { readonly status: number };

export interface Attempt {
  readonly method: string;
  /** Number of the attempt that failed, from 1. */
  readonly attempt: number;
  readonly failure: AttemptFailure;
  /** Whether the request has no body, or all of it that was read is kept. */
  readonly bodyReplayable: boolean;
  /** Since the request came. */
  readonly elapsedMs: number;
}

/**
 * Why a request is not sent again. `cause`: what went wrong is nothing that is tried again; `budget` is said by
 * the caller, who asks the budget last.
 */
export type NoRetry = "cause" | "attempts" | "method" | "body" | "time" | "budget";

export type RetryVerdict =
  | { readonly retry: true; readonly delayMs: number }
  | { readonly retry: false; readonly why: NoRetry };

/** Attempts without `[retry]`, for what no target can have seen. */
const UNSEEN_ATTEMPTS = 3;
/** Timers fire up to a millisecond early: what is left then of the total time-out is no time for an attempt. */
const LEAST_ATTEMPT_MS = 2;

const CAUSE_BY_CODE: Readonly<Record<string, RetryCause>> = {
  connect_refused: "connect",
  connect_timeout: "connect",
  tls: "connect",
  reset: "reset",
  upstream_timeout: "timeout",
  bad_response: "bad_response",
};

export class RetryPolicy {
  readonly #config: RetryConfig;
  readonly #causes: ReadonlySet<RetryCause>;
  readonly #statuses: ReadonlySet<number>;
  readonly #methods: ReadonlySet<string>;
  readonly #random: () => number;

  /** @param random from 0 to below 1 */
  constructor(config: RetryConfig, random: () => number = Math.random) {
    this.#config = config;
    this.#causes = new Set(config.onCauses);
    this.#statuses = new Set(config.enabled ? config.onStatuses : []);
    this.#methods = new Set(config.methods);
    this.#random = random;
  }

  /** Whether retries count against a budget: without `[retry]` they don't. */
  get hasBudget(): boolean {
    return this.#config.enabled;
  }

  /** Whether an attempt may go to a target that was tried before, where there is no other. */
  get allowsSameTarget(): boolean {
    return this.#config.enabled;
  }

  /** Whether an answer with this status is looked at by `shouldRetry` at all. */
  triesAgainOn(status: number): boolean {
    return this.#statuses.has(status);
  }

  /**
   * Whether it can ever be of use to keep the body of a request.
   * @param length null: not declared
   * @param isReadEarly whether the transport reads the body before there is a connection
   */
  keepsBody(method: string, length: number | null, isReadEarly: boolean): boolean {
    const { enabled, attempts, maxBodyBytes } = this.#config;
    if (length !== null && length > maxBodyBytes) return false;
    if (maxBodyBytes === 0 || (enabled && attempts === 1)) return false;
    return isReadEarly || (enabled && this.#methods.has(method));
  }

  /**
   * How long an attempt may take until the response header; it may be less than the time-out that the transport
   * has for that, and for silences of the body. Null: the transport's alone.
   */
  attemptTimeoutMs(elapsedMs: number): number | null {
    const { enabled, perTryTimeoutMs, totalTimeoutMs } = this.#config;
    if (!enabled || perTryTimeoutMs === null) return null;
    return Math.max(1, Math.min(perTryTimeoutMs, totalTimeoutMs - elapsedMs));
  }

  shouldRetry({ method, attempt, failure, bodyReplayable, elapsedMs }: Attempt): RetryVerdict {
    const { enabled, attempts, totalTimeoutMs } = this.#config;
    const isStatus = "status" in failure;
    // Without a connection no target has seen anything, whatever became of the body on our side.
    const isUnseen = !isStatus &&
      (!failure.sent || (bodyReplayable && CAUSE_BY_CODE[failure.code] === "connect"));
    const isWanted = isStatus ? this.#statuses.has(failure.status) : this.#triesAgain(failure.code, isUnseen);
    if (!isWanted) return { retry: false, why: "cause" };
    if (attempt >= (enabled ? attempts : UNSEEN_ATTEMPTS)) return { retry: false, why: "attempts" };
    if (isUnseen && !enabled) return { retry: true, delayMs: 0 };
    if (!isUnseen && !this.#methods.has(method)) return { retry: false, why: "method" };
    if (!isUnseen && !bodyReplayable) return { retry: false, why: "body" };
    const delayMs = isUnseen ? 0 : this.#delayMs(attempt);
    if (elapsedMs + delayMs > totalTimeoutMs - LEAST_ATTEMPT_MS) return { retry: false, why: "time" };
    return { retry: true, delayMs };
  }

  #triesAgain(code: string, isUnseen: boolean): boolean {
    const cause = CAUSE_BY_CODE[code];
    if (cause === undefined) return false;
    return isUnseen || (this.#config.enabled && this.#causes.has(cause));
  }

  /** Exponential with full jitter: clients that failed at the same moment come back at different ones. */
  #delayMs(attempt: number): number {
    const { baseMs, maxMs } = this.#config.backoff;
    return this.#random() * Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  }
}
