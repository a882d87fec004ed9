/**
 * The way of a request through the proxy, from top to bottom:
 *
 *     receive → steps (domain, …) → forward (attempts) → respond → finish (metrics, record)
 *
 * A step either lets the exchange pass or ends it with a refusal or an answer, which the proxy sends itself.
 * Whatever happens, `#finish` runs exactly once for each request.
 */
import type { TargetConfig } from "../config/model.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import { framingProblem } from "../http/framing.ts";
import type { LocalAnswer } from "../http/message.ts";
import { ERROR_STATUS, type Refusal } from "../http/refusal.ts";
import type { RequestMetrics, WebSocketMetrics } from "../metrics/mod.ts";
import { isBodyRead } from "../security/request_limits.ts";
import { encodeRecord, TimestampText } from "../traffic/record.ts";
import type { RecordBuffer } from "../traffic/buffer.ts";
import { UpstreamError, type UpstreamResponse } from "../upstream/transport.ts";
import type { ClientConnection } from "./connections.ts";
import type { UpstreamSocket } from "../websocket/mod.ts";
import { keepUncompressed, localResponse, refusalResponse, upstreamResponse } from "./answers.ts";
import type { DomainTable } from "./domains.ts";
import { Exchange } from "./exchange.ts";
import { explain } from "./explain.ts";
import { type Forwarded, Forwarder } from "./forward.ts";
import { isDenoFrom } from "./http_runtime.ts";
import { clientRequestId, readFields } from "./headers.ts";
import { Authorities, receive } from "./receive.ts";
import { addExplanation, ExplainToken, explanationOf } from "./live_explain.ts";
import { recordOf } from "./record.ts";
import { changeResponse, changesResponse } from "./response.ts";
import { RequestIds } from "./request_id.ts";
import type { Snapshot } from "./snapshot.ts";
import { type Ending, isRefusal, runSteps } from "./steps.ts";
import { Trace } from "./trace.ts";
import { readUpgrade, Upgrades } from "./upgrade.ts";

export interface HandlerOptions {
  snapshot: Snapshot;
  /** Index of this proxy thread, for the record. */
  worker: number;
  metrics: RequestMetrics;
  webSocketMetrics: WebSocketMetrics;
  /** Null when the traffic log is off. */
  records: RecordBuffer | null;
  /** Who shows it is told how its request is decided; null: nobody. */
  explainToken: string | null;
  log: (
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
}

/** An exchange older than this is watched for its client's leaving: `Request.signal` costs 8 µs when touched. */
const WATCH_AFTER_MS = 100;
/** That the process lacks descriptors is told of once in this time. */
const QUIET_MS = 60_000;

/** Deno up to 2.8.0, and all over HTTP/2, never tells of a client that left before `Request.signal` was touched. */
const TELLS_OF_EARLIER_LEAVING = isDenoFrom(2, 9);

/** Deno 2.6 compresses what handlers answer as it likes; 2.9 only if asked to. */
const COMPRESSES = !isDenoFrom(2, 9);

export class ProxyHandler {
  /** What new requests use. Those in flight keep the one they began with. */
  snapshot: Snapshot;
  /** Null when the traffic log is off, and nothing is in flight that began when it was on. */
  records: RecordBuffer | null;
  readonly #worker: number;
  readonly #metrics: RequestMetrics;
  readonly #log: HandlerOptions["log"];
  readonly #forwarder: Forwarder;
  readonly #upgrades: Upgrades;
  readonly #explainToken: ExplainToken;
  readonly #ids = new RequestIds();
  readonly #authorities = new Authorities();
  readonly #timestamps = new TimestampText();
  readonly #inFlight = new Set<Exchange>();
  /** Requests refused for want of descriptors since that was last told of. */
  #unconnected = 0;
  #shortageToldMs = -Infinity;
  #onIdle: (() => void)[] = [];

  constructor(options: HandlerOptions) {
    this.snapshot = options.snapshot;
    this.records = options.records;
    this.#worker = options.worker;
    this.#metrics = options.metrics;
    this.#log = options.log;
    this.#forwarder = new Forwarder(options.metrics);
    this.#upgrades = new Upgrades(options.webSocketMetrics);
    this.#explainToken = new ExplainToken(options.explainToken);
  }

  /** Resolves when no request is in flight. */
  idle(): Promise<void> {
    if (this.#inFlight.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Answers one request. Never rejects. */
  async handle(
    request: Request,
    peerIp: string,
    connection: ClientConnection,
  ): Promise<Response> {
    // Only with `overflow = "block"` and a full queue: no request is taken that could not be recorded.
    const room = this.records?.ready() ?? null;
    if (room !== null) await room;
    const { snapshot } = this;
    const fields = readFields(request.headers);
    const origin = snapshot.originOf(peerIp, connection.scheme, fields);
    const exchange = new Exchange(request, snapshot, origin, fields, connection, this.#onBodyEnd);
    this.#begin(exchange);
    if (fields.explain !== null && this.#explainToken.matches(fields.explain)) {
      exchange.trace = new Trace(false);
    }
    try {
      const refusal = receive(exchange, this.#authorities, connection) ?? readUpgrade(exchange);
      if (refusal !== null) return this.#refuse(exchange, refusal);
      let end = runSteps(exchange);
      if (end instanceof Promise) end = await end;
      if (end !== null) return this.#send(exchange, end.ending);
      const outcome = await this.#forwarder.forward(exchange);
      if (isRefusal(outcome)) return this.#refuse(exchange, exchange.bodyRefusal ?? outcome);
      const instead = changesResponse(exchange) ? await changeResponse(exchange, outcome) : null;
      if (outcome.socket !== undefined) {
        return this.#upgrade(exchange, request, outcome, outcome.socket, instead);
      }
      return instead === null ? this.#respond(exchange, outcome) : this.#send(exchange, instead);
    } catch (fault) {
      this.#log("error", "request failed inside the proxy", {
        request_id: exchange.requestId,
        error: String(fault),
      });
      return this.#refuse(exchange, {
        code: "internal",
        message: "Internal error: see the log for this request id",
      });
    }
  }

  /** What would become of a request, without sending it anywhere or leaving a mark. */
  explain(question: ExplainQuestion): Promise<Explanation> {
    return explain(this.snapshot, this.#forwarder, question);
  }

  #begin(exchange: Exchange): void {
    this.#inFlight.add(exchange);
    exchange.snapshot.begin();
    this.#metrics.begin();
    exchange.id = this.#ids.next(exchange.timestampMs);
    exchange.requestId = clientRequestId(exchange.fields) ?? exchange.id;
    if (!TELLS_OF_EARLIER_LEAVING || exchange.isHttp2) this.#watch(exchange);
  }

  /** Looks after requests that have been in flight for a while: gone and slow clients. Run it a few times a second. */
  sweep(): void {
    const now = performance.now();
    for (const exchange of this.#inFlight) {
      // A set keeps its order: all that follow are younger.
      if (now - exchange.startedMs < WATCH_AFTER_MS) break;
      const tooSlow = exchange.guard?.tooSlow(now) ?? null;
      if (tooSlow !== null) exchange.refuseBody(tooSlow);
      exchange.giveUpReader(now, exchange.snapshot.config.server.sendTimeoutMs);
      if (!exchange.watched) this.#watch(exchange);
    }
  }

  #watch(exchange: Exchange): void {
    exchange.watched = true;
    const { signal } = exchange.request;
    const leave = () => {
      if (!exchange.finished) exchange.abort.abort(clientGone());
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  }

  /** Sends what ends the exchange in place of an upstream's answer. */
  #send(exchange: Exchange, ending: Ending): Response {
    return isRefusal(ending) ? this.#refuse(exchange, ending) : this.#answer(exchange, ending);
  }

  /** @param instead of the switch, by a plugin */
  #upgrade(
    exchange: Exchange,
    request: Request,
    { status, headers }: Forwarded,
    socket: UpstreamSocket,
    instead: Ending | null,
  ): Response {
    if (instead !== null) {
      socket.drop();
      return this.#send(exchange, instead);
    }
    const response = this.#upgrades.open(
      exchange,
      request,
      { status, headers, body: null, socket },
      (ended) => {
        exchange.requestSize = ended.toTarget.bytes;
        exchange.responseSize = ended.toClient.bytes;
        if (ended.error !== null) exchange.errorMessage = `websocket_${ended.cause}: ${ended.error}`;
        this.#log("debug", "websocket ended", { request_id: exchange.requestId, ...ended });
        this.#finish(exchange);
      },
    );
    exchange.status = 101;
    return response;
  }

  /** Whether anything is in flight that is still to be recorded though what comes now is not; streams may last. */
  hasUnrecorded(): boolean {
    for (const { snapshot, status } of this.#inFlight) {
      if (snapshot.config.logging.enabled && status !== 101) return true;
    }
    return false;
  }

  /** Ends what is in flight: with 503 where no answer has begun, else by cutting it. All of it is recorded. */
  endRequests(): void {
    for (const exchange of [...this.#inFlight]) {
      const message = "Service unavailable: the proxy is shutting down";
      exchange.abort.abort(new UpstreamError("shutting_down", message, true));
    }
  }

  /** Closes WebSockets whose domain or target these do not have any more, and says so before. */
  closeUnrouted(domains: DomainTable, targets: readonly TargetConfig[]): void {
    const closing = this.#upgrades.unrouted(domains, targets);
    for (const { host, target, why, count } of closing.list) {
      this.#log("warn", `a reload closes ${count} WebSocket(s): ${why}`, { host, target });
    }
    closing.close();
  }

  /** Closes all WebSockets, with the code for a server that goes away; resolves when they have ended. */
  closeWebSockets(): Promise<void> {
    return this.#upgrades.closeAll();
  }

  #respond(exchange: Exchange, upstream: UpstreamResponse): Response {
    exchange.status = upstream.status;
    const { body } = upstream;
    const response = upstreamResponse(upstream);
    if (exchange.earlyEnd !== null) {
      this.#onBodyEnd(exchange, exchange.earlyEnd.error);
    } else if (body === null) {
      this.#finish(exchange);
    } else if (body instanceof Uint8Array) {
      exchange.responseSize = body.length;
      this.#finish(exchange);
    }
    return this.#told(exchange, response);
  }

  /** Sends an answer of a plugin's or a rule's own. */
  #answer(exchange: Exchange, answer: LocalAnswer): Response {
    const { response, size } = localResponse(answer, exchange);
    exchange.status = answer.status;
    exchange.responseSize = size;
    this.#finish(exchange);
    return this.#told(exchange, response);
  }

  #refuse(exchange: Exchange, refusal: Refusal): Response {
    const { response, size } = refusalResponse(refusal, exchange, exchange.snapshot.errorPages);
    if (refusal.denial !== undefined) this.#metrics.denied(refusal.denial);
    if (refusal.isShortage) this.#tellOfShortage(refusal.message);
    exchange.closes = refusal.close === true || exchange.bodyRefusal !== null;
    if (refusal.close === true && isHttp1(exchange)) exchange.connection?.noMoreRequests();
    exchange.status = ERROR_STATUS[refusal.code];
    exchange.code = refusal.code;
    exchange.errorMessage = recorded(refusal);
    exchange.responseSize = size;
    this.#finish(exchange);
    return this.#told(exchange, response);
  }

  #tellOfShortage(reason: string): void {
    this.#unconnected++;
    const now = performance.now();
    if (now - this.#shortageToldMs < QUIET_MS) return;
    this.#log("error", `requests are refused with 503: ${reason}`, { refused: this.#unconnected });
    this.#unconnected = 0;
    this.#shortageToldMs = now;
  }

  /** A client that may ask why gets the answer with the response. */
  #told(exchange: Exchange, response: Response): Response {
    if (COMPRESSES) keepUncompressed(exchange.request, response);
    if (exchange.connection?.endsWithAnswer()) response.headers.set("connection", "close");
    if (exchange.trace !== null) {
      addExplanation(exchange, response);
      this.#log("info", "explained a request", explanationOf(exchange));
    }
    return response;
  }

  readonly #onBodyEnd = (exchange: Exchange, error: UpstreamError | null): void => {
    // The client gets another answer in its place.
    if (exchange.bodyDropped) return;
    if (exchange.status === 0) {
      exchange.earlyEnd = { error };
      return;
    }
    if (error !== null) {
      const { bodyRefusal } = exchange;
      const failure = this.#forwarder.bodyFailed(exchange, error);
      if (bodyRefusal?.denial !== undefined) this.#metrics.denied(bodyRefusal.denial);
      exchange.closes = bodyRefusal !== null;
      exchange.code = (bodyRefusal ?? failure).code;
      exchange.errorMessage = recorded(bodyRefusal ?? failure);
    }
    this.#finish(exchange);
  };

  #finish(exchange: Exchange): void {
    if (exchange.finished) return;
    exchange.finished = true;
    this.#inFlight.delete(exchange);
    this.#forwarder.release(exchange);
    const durationMs = performance.now() - exchange.startedMs;
    this.#metrics.end();
    if (exchange.requestChunks > 0) {
      const isLimited = exchange.snapshot.config.security.ddos.maxBodyBytes > 0;
      this.#metrics.bodyStreamed(isLimited, exchange.requestChunks, exchange.requestSize);
    }
    this.#metrics.requestFinished(exchange.domain ?? "", exchange.method, exchange.status, durationMs);
    if (this.records !== null && exchange.snapshot.config.logging.enabled) {
      const timestamp = this.#timestamps.of(exchange.timestampMs);
      this.records.add(encodeRecord(recordOf(exchange, durationMs, this.#worker), timestamp));
    }
    exchange.snapshot.end();
    exchange.connection?.requestEnded(bodyIsRead(exchange) && !exchange.closes);
    if (this.#onIdle.length > 0 && this.#inFlight.size === 0) {
      for (const resolve of this.#onIdle) resolve();
      this.#onIdle = [];
    }
  }
}

/** Whether the next request could follow on the connection; what is left of a body over HTTP/2 is in nobody's way. */
function bodyIsRead({ hasBody, fields: { contentLength }, requestSize, isHttp2 }: Exchange): boolean {
  return isHttp2 || isBodyRead({ hasBody, contentLength }, requestSize);
}

/**
 * Whether a request must be one of HTTP/1.1; some without a Host cannot be told from those of HTTP/2, whose
 * streams have ends of their own. There the runtime itself refuses what is framed in a doubtful way.
 */
function isHttp1({ fields }: Exchange): boolean {
  return fields.host !== null || framingProblem(fields) !== null;
}

/** As the traffic record has it. */
function recorded({ code, message, detail }: Refusal): string {
  return detail === undefined ? `${code}: ${message}` : `${code}: ${message} [${detail}]`;
}

function clientGone(): UpstreamError {
  return new UpstreamError("client_gone", "the client left before it was answered", true);
}
