/** The attempts to get an answer: a target is chosen, asked, and if it fails perhaps another one. */
import type { BalancedTarget, Balancer, Candidate, NoTarget } from "../balancing/balancer.ts";
import { circuitName } from "../balancing/circuit_table.ts";
import { TargetState } from "../balancing/target_table.ts";
import type { NotQueued } from "../balancing/wait_queue.ts";
import type { RetryConfig, TargetConfig } from "../config/model.ts";
import type { Refusal } from "../http/refusal.ts";
import type { RequestMetrics } from "../metrics/mod.ts";
import { ReplayBody, ReplayMemory } from "../retry/replay_body.ts";
import type { Mirror } from "../routing/mod.ts";
import { AbortHandle, UpstreamError, type UpstreamResponse } from "../upstream/transport.ts";
import { connectWebSocket, UpstreamSocket, webSocketLimits } from "../websocket/mod.ts";
import type { Exchange } from "./exchange.ts";
import { AttemptTimeout, factsOf, failureDetail } from "./failure.ts";
import { BodyCopy, Mirrors } from "./mirror.ts";

/** An answer, or with status 101 the WebSocket that the target agreed to: it is the caller's. */
export interface Forwarded extends UpstreamResponse {
  socket?: UpstreamSocket;
}

/** A request on its way: what its attempts share. */
interface Attempts {
  readonly exchange: Exchange;
  readonly balancer: Balancer;
  /** Null: there is no body, or it can be sent once only. */
  readonly body: ReplayBody | null;
  /** Slots that failed; none of them is asked again while there is another. */
  tried: Set<number> | undefined;
  /** Names of the targets of all attempts before. */
  failed: readonly string[];
  /** Of the attempt under way, from 1. */
  number: number;
}

export class Forwarder {
  readonly #metrics: RequestMetrics;
  readonly #memory = new ReplayMemory();
  readonly #mirrors: Mirrors;

  constructor(metrics: RequestMetrics) {
    this.#metrics = metrics;
    this.#mirrors = new Mirrors(metrics);
  }

  /**
   * The answer of the first target that gives one, its body perhaps still arriving, or why there is none. The
   * target stays counted as in use until `release`.
   */
  async forward(exchange: Exchange): Promise<Forwarded | Refusal> {
    exchange.snapshot.retryBudget?.request();
    exchange.body = exchange.hasBody ? exchange.request.body : null;
    if (exchange.route !== null && exchange.route.mirror !== null) {
      this.#mirror(exchange, exchange.route.mirror);
    }
    const balancer = balancerOf(exchange);
    const found = balancer.acquireOrWait(exchange.clientIp, undefined, exchange.abort);
    const first = found instanceof Promise ? await found : found;
    if (typeof first === "string") return this.#noTarget(first);
    const body = this.#replayBody(exchange, first);
    return await this.#attempt(
      { exchange, balancer, body, tried: undefined, failed: NONE, number: 1 },
      first,
    );
  }

  async #attempt(attempts: Attempts, target: BalancedTarget): Promise<Forwarded | Refusal> {
    const { exchange, body } = attempts;
    exchange.upstream = target;
    exchange.targetName = target.config.name;
    exchange.retries = attempts.number - 1;
    exchange.trace?.add("target", "chose", `${target.config.name}, attempt ${attempts.number}`, {
      url: upstreamUrl(exchange, target.config),
      candidates: attempts.balancer.candidates().map(shownCandidate),
    });
    try {
      const response = await this.#send(attempts, target);
      exchange.upstreamMs = performance.now() - exchange.upstreamStartedMs;
      this.#answered(exchange, target, response.status);
      if (exchange.snapshot.retry.triesAgainOn(response.status)) {
        const next = await this.#next(attempts, target, response);
        if (next !== null) {
          await dropBody(exchange, response);
          return await this.#again(attempts, target, next, "status");
        }
      }
      body?.settle();
      return response;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      this.#failed(exchange, target, error);
      const next = exchange.abort.aborted ? null : await this.#next(attempts, target, error);
      if (next !== null) return await this.#again(attempts, target, next, error.code);
      body?.abandon(error);
      const facts = factsOf(error, target.config, false);
      const tried = [...attempts.failed, target.config.name];
      const detail = failureDetail({ ...facts, tried });
      if (error.code !== "overloaded") return { code: error.code, message: error.message, detail };
      return { ...OVERLOADED, message: error.message, detail, isShortage: true };
    }
  }

  #again(
    attempts: Attempts,
    failed: BalancedTarget,
    next: BalancedTarget,
    cause: string,
  ): Promise<Forwarded | Refusal> {
    const { exchange } = attempts;
    this.#metrics.retried(cause);
    exchange.trace?.add(
      "retry",
      "chose",
      `${failed.config.name} failed (${cause}), next is ${next.config.name}`,
    );
    exchange.sendBodyAgain();
    attempts.failed = [...attempts.failed, failed.config.name];
    attempts.number++;
    return this.#attempt(attempts, next);
  }

  /** The target of the next attempt, counted in and the failed one counted out; null: there is none. */
  async #next(
    attempts: Attempts,
    failed: BalancedTarget,
    failure: UpstreamError | UpstreamResponse,
  ): Promise<BalancedTarget | null> {
    const { exchange, balancer, body } = attempts;
    const { retry, retryBudget } = exchange.snapshot;
    const verdict = retry.shouldRetry({
      method: exchange.method,
      attempt: attempts.number,
      failure,
      bodyReplayable: body?.isReplayable ?? exchange.body === null,
      elapsedMs: performance.now() - exchange.startedMs,
    });
    if (!verdict.retry) {
      if (verdict.why !== "cause") this.#metrics.retryRefused(verdict.why);
      return null;
    }
    if (retry.hasBudget && retryBudget !== null && !retryBudget.tryRetry()) {
      this.#metrics.retryRefused("budget");
      return null;
    }
    // A body that may still have to be passed on keeps its target taken; nothing else does.
    if (!("status" in failure && failure.body instanceof ReadableStream)) this.release(exchange);
    if (verdict.delayMs > 0 && !await pause(verdict.delayMs, exchange.abort)) return null;
    const tried = attempts.tried ??= new Set();
    tried.add(failed.slot);
    const next = balancer.acquire(exchange.clientIp, tried) ??
      (retry.allowsSameTarget ? balancer.acquire(exchange.clientIp) : null);
    if (next !== null) this.release(exchange);
    return next;
  }

  #noTarget(why: NoTarget | NotQueued): Refusal {
    switch (why) {
      case "no_target":
      case "tried":
        return NO_TARGET;
      case "cancelled":
        return {
          code: "client_gone",
          message: "the client left while it waited for a target",
          detail: failureDetail({ phase: "queue" }),
        };
      case "full":
        this.#metrics.waitRefused(why);
        return OVERLOADED;
      case "queue_full":
      case "queue_timeout": {
        this.#metrics.waitRefused(why);
        const timer = why === "queue_timeout" ? "targets.load_balancing.queue_timeout" : null;
        return { ...OVERLOADED, detail: failureDetail({ phase: "queue", timer }) };
      }
    }
  }

  #answered({ snapshot, upstreamStartedMs }: Exchange, target: BalancedTarget, status: number): void {
    this.#metrics.target(target.config.name).finished(status);
    const { breaker } = snapshot;
    breaker?.report(target, breaker.outcomeOfStatus(status), performance.now() - upstreamStartedMs);
  }

  #failed({ snapshot, upstreamStartedMs }: Exchange, target: BalancedTarget, error: UpstreamError): void {
    this.#metrics.target(target.config.name).error(error.code);
    const { breaker } = snapshot;
    breaker?.report(target, breaker.outcomeOfError(error.code), performance.now() - upstreamStartedMs);
  }

  /** The body of an answer has broken off after its header was passed on. @returns what is recorded of it */
  bodyFailed(exchange: Exchange, error: UpstreamError): Refusal {
    const { upstream } = exchange;
    const { code, message } = error;
    if (upstream === null) return { code, message };
    this.#failed(exchange, upstream, error);
    return { code, message, detail: failureDetail(factsOf(error, upstream.config, true)) };
  }

  /** Counts the exchange's target out; once more does nothing. */
  release(exchange: Exchange): void {
    const { upstream, snapshot } = exchange;
    if (upstream === null) return;
    exchange.upstream = null;
    snapshot.balancer.release(upstream);
  }

  /**
   * Which target would get the exchange now, with nothing counted and no turn taken, told to its trace; or the
   * refusal where none would.
   */
  foresee(exchange: Exchange): TargetConfig | Refusal {
    const balancer = balancerOf(exchange);
    const candidates = balancer.candidates().map(shownCandidate);
    const pick = balancer.peek(exchange.clientIp);
    if (pick === null) {
      const why = balancer.whyNone();
      exchange.trace?.add("target", "refused", "no target takes requests now", { candidates, why });
      return why === "full" ? OVERLOADED : NO_TARGET;
    }
    const { balancing } = exchange.snapshot.config.targets;
    const policy = balancing.stickySessions ? "sticky sessions" : balancing.type;
    const { name } = pick.target.config;
    const summary = pick.byChance
      ? `${name} by lot among ${candidates.length} (${policy}), the next request may go to another`
      : `${name} by ${policy} among ${candidates.length}`;
    exchange.trace?.add("target", "chose", summary, { policy, by_chance: pick.byChance, candidates });
    return pick.target.config;
  }

  /** Sends a copy of the request to the rule's mirror, if it is one of those that are copied. */
  #mirror(exchange: Exchange, { target: name, share, maxBodyBytes }: Mirror): void {
    if (Math.random() >= share) return;
    const target = exchange.snapshot.config.targets.targets.find((known) => known.name === name)!;
    exchange.trace?.add("mirror", "chose", `a copy goes to ${name}`);
    if (exchange.body === null) return this.#mirrors.send(exchange, target, null);
    exchange.body = new BodyCopy(maxBodyBytes).tap(
      exchange.body,
      (copy) => this.#mirrors.send(exchange, target, copy),
    );
  }

  #replayBody(exchange: Exchange, { config }: BalancedTarget): ReplayBody | null {
    const { body, fields, snapshot, method } = exchange;
    if (body === null) return null;
    const length = fields.contentLength === null ? null : Number(fields.contentLength);
    const { readsBodyEarly } = snapshot.transports.for(config);
    if (!snapshot.retry.keepsBody(method, length, readsBodyEarly)) return null;
    const { maxBodyBytes } = snapshot.config.retry;
    return new ReplayBody({ source: body, maxBytes: maxBodyBytes, memory: this.#memory });
  }

  #send({ exchange, body }: Attempts, target: BalancedTarget): Promise<Forwarded> {
    const { config, retry } = exchange.snapshot;
    exchange.upstreamStartedMs = performance.now();
    const attemptMs = retry.attemptTimeoutMs(exchange.upstreamStartedMs - exchange.startedMs);
    const limit = attemptMs === null
      ? null
      : new AttemptLimit(exchange.abort, target.config, attemptMs, timerName(config.retry, attemptMs));
    const abort = limit?.abort ?? exchange.abort;
    const response = exchange.isWebSocket ? this.#sendUpgrade(exchange, target, abort) : this.#sendRequest(
      exchange,
      target,
      abort,
      body,
    );
    return limit === null ? response : response.finally(() => limit.end());
  }

  async #sendUpgrade(
    exchange: Exchange,
    { config: target }: BalancedTarget,
    abort: AbortHandle,
  ): Promise<Forwarded> {
    const { target: path, headers } = exchange;
    const { config, transports } = exchange.snapshot;
    const answer = await connectWebSocket(
      {
        target,
        path: target.basePath + path,
        headers,
        abort,
        observer: exchange,
        connectTimeoutMs: config.httpClient.connectTimeoutMs,
        timeoutMs: target.timeoutMs ?? config.server.requestTimeoutMs,
      },
      webSocketLimits(config.websocket),
      transports.dial,
    );
    return answer instanceof UpstreamSocket
      ? { status: 101, headers: answer.headers, body: null, socket: answer }
      : answer;
  }

  #sendRequest(
    exchange: Exchange,
    target: BalancedTarget,
    abort: AbortHandle,
    body: ReplayBody | null,
  ): Promise<Forwarded> {
    const { snapshot, fields } = exchange;
    const { config } = snapshot;
    return snapshot.transports.for(target.config).send({
      target: target.config,
      method: exchange.method,
      path: target.config.basePath + exchange.target,
      headers: exchange.headers,
      body: body === null ? exchange.body : body.stream(),
      bodyLength: fields.contentLength === null ? null : Number(fields.contentLength),
      // Both bodies go between Deno.serve and the transport as they are: nobody else keeps their chunks, but
      // for those that may have to be sent again.
      giveChunks: body === null,
      lendChunks: true,
      abort,
      observer: exchange,
      connectTimeoutMs: config.httpClient.connectTimeoutMs,
      timeoutMs: target.config.timeoutMs ?? config.server.requestTimeoutMs,
    });
  }
}

const NO_TARGET: Refusal = {
  code: "no_target",
  message: "Service unavailable: no healthy target, see /health on the health port",
};
const OVERLOADED: Refusal = {
  code: "overloaded",
  message: "Service unavailable: every target has as many requests as it may have",
  headers: ["retry-after", "1"],
};

/** Nothing has failed yet. */
const NONE: readonly string[] = [];

/** Which key an attempt's time comes from. */
function timerName({ perTryTimeoutMs }: RetryConfig, attemptMs: number): string {
  return attemptMs === perTryTimeoutMs ? "retry.per_try_timeout" : "retry.total_timeout";
}

function balancerOf({ balancer, snapshot }: Exchange): Balancer {
  return balancer ?? snapshot.balancer;
}

/** Where the request goes, as a URL; its path and query are byte for byte what is sent. */
export function upstreamUrl(
  exchange: Exchange,
  { protocol, hostname, port, basePath }: TargetConfig,
): string {
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${protocol}://${host}:${port}${basePath}${exchange.target}`;
}

function shownCandidate({ target, state, circuit, active, weight, unusable }: Candidate) {
  const health = state === TargetState.Healthy
    ? "healthy"
    : state === TargetState.Unhealthy
    ? "unhealthy"
    : "unknown";
  return {
    target: target.config.name,
    health,
    circuit: circuitName(circuit),
    weight,
    active,
    usable: unusable === null,
    ...(unusable !== null && { why: unusable }),
  };
}

/** The body of an answer that the client does not get. */
export async function dropBody(exchange: Exchange, response: UpstreamResponse): Promise<void> {
  const { body } = response;
  response.body = null;
  exchange.earlyEnd = null;
  if (!(body instanceof ReadableStream)) return;
  exchange.bodyDropped = true;
  try {
    await body.cancel();
  } finally {
    exchange.bodyDropped = false;
  }
}

/** @returns false if the exchange was given up meanwhile */
function pause(delayMs: number, abort: AbortHandle): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      abort.onabort = null;
      resolve(true);
    }, delayMs);
    abort.onabort = () => {
      clearTimeout(timer);
      resolve(false);
    };
  });
}

/** Gives one attempt up that takes too long for its header, and passes on that the exchange is given up. */
class AttemptLimit {
  readonly abort = new AbortHandle();
  readonly #timer: ReturnType<typeof setTimeout>;

  constructor(exchange: AbortHandle, target: TargetConfig, timeoutMs: number, timer: string) {
    exchange.onabort = (reason) => this.abort.abort(reason);
    if (exchange.aborted) this.abort.aborted = true;
    this.#timer = setTimeout(
      () => this.abort.abort(new AttemptTimeout(target, timeoutMs, timer)),
      timeoutMs,
    );
  }

  /** The header is there, or the attempt has failed. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
