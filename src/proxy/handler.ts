/**
 * The way of a request through the proxy, from top to bottom:
 *
 *     receive → check → domain → [attempt: pick target → forward] → respond → finish (metrics, record)
 *
 * A step either lets the exchange pass or returns a `Refusal`, which the proxy answers itself. Whatever
 * happens, `#finish` runs exactly once for each request.
 */
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { RequestMetrics } from "../metrics/mod.ts";
import { encodeRecord, TimestampText } from "../traffic/record.ts";
import type { RecordBuffer } from "../traffic/buffer.ts";
import { UpstreamError, type UpstreamResponse } from "../upstream/transport.ts";
import { ERROR_STATUS, type Refusal } from "../http/refusal.ts";
import { answer } from "./answers.ts";
import { Exchange } from "./exchange.ts";
import { clientRequestId, readFields, upstreamFields } from "./headers.ts";
import { isTrustedPeer } from "./trusted_peer.ts";
import { RequestIds } from "./request_id.ts";
import { type Authority, parseAuthority, splitUrl, targetBytes, targetProblem } from "./request_target.ts";
import type { Snapshot } from "./snapshot.ts";

export interface HandlerOptions {
  snapshot: Snapshot;
  /** Index of this proxy thread, for the record. */
  worker: number;
  metrics: RequestMetrics;
  /** Null when the traffic log is off. */
  records: RecordBuffer | null;
  log: (
    level: "debug" | "info" | "warn" | "error",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
}

/** Targets tried for one request at the most. */
const MAX_ATTEMPTS = 3;
/** An exchange older than this is watched for its client's leaving: `Request.signal` costs 8 µs when touched. */
const WATCH_AFTER_MS = 100;
/** Hosts whose parsed form is remembered. */
const MAX_REMEMBERED_HOSTS = 1024;

export class ProxyHandler {
  snapshot: Snapshot;
  /** Null when the traffic log is off. */
  records: RecordBuffer | null;
  readonly #worker: number;
  readonly #metrics: RequestMetrics;
  readonly #log: HandlerOptions["log"];
  readonly #ids = new RequestIds();
  readonly #timestamps = new TimestampText();
  readonly #inFlight = new Set<Exchange>();
  readonly #hosts = new Map<string, Authority | null>();
  #onIdle: (() => void)[] = [];

  constructor(options: HandlerOptions) {
    this.snapshot = options.snapshot;
    this.records = options.records;
    this.#worker = options.worker;
    this.#metrics = options.metrics;
    this.#log = options.log;
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
    listener: { scheme: "http" | "https"; port: number },
  ): Promise<Response> {
    // Only with `overflow = "block"` and a full queue: no request is taken that could not be recorded.
    const room = this.records?.ready() ?? null;
    if (room !== null) await room;
    const exchange = new Exchange(
      request,
      this.snapshot,
      peerIp,
      listener.scheme,
      readFields(request.headers),
      this.#onBodyEnd,
    );
    this.#inFlight.add(exchange);
    this.#metrics.begin();
    try {
      const refusal = this.#check(exchange, listener.port) ?? this.#matchDomain(exchange);
      if (refusal !== null) return this.#refuse(exchange, refusal);
      return await this.#forward(exchange);
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

  /** Listens for the leaving of clients whose requests have been in flight for a while; run it a few times a second. */
  sweep(): void {
    const now = performance.now();
    for (const exchange of this.#inFlight) {
      // A set keeps its order: all that follow are younger.
      if (now - exchange.startedMs < WATCH_AFTER_MS) break;
      if (exchange.watched) continue;
      exchange.watched = true;
      const { signal } = exchange.request;
      const leave = () => {
        if (!exchange.finished) exchange.abort.abort(clientGone());
      };
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
    }
  }

  /** Host, method and target must be such that every later step and the upstream read them alike. */
  #check(exchange: Exchange, port: number): Refusal | null {
    const { fields } = exchange;
    const id = this.#ids.next(exchange.timestampMs);
    exchange.id = id;
    exchange.requestId = clientRequestId(fields) ?? id;

    const url = exchange.request.url;
    const parts = splitUrl(url, fields.host);
    exchange.target = targetBytes(parts.target);
    const authority = this.#parseAuthority(parts.authority);
    if (authority === null) return badRequest(`Host is not a valid host name with an optional port`);
    exchange.authority = authority.raw;
    exchange.host = authority.host;
    if (fields.host === null) {
      // Without a Host field the listener makes one up, the same for every such request. HTTP/2 clients have
      // no Host field either but name an authority; only on plain HTTP the two cannot be told apart.
      if (exchange.scheme === "http" && parts.authority === `localhost:${port}`) {
        return badRequest("Host is missing: HTTP/1.1 requires it");
      }
    } else if (fields.host !== parts.authority && this.#parseAuthority(fields.host) === null) {
      return badRequest("Host is not a valid host name with an optional port");
    }
    const { method } = exchange;
    if (method === "CONNECT" || method === "TRACE") {
      return { code: "method_not_allowed", message: `${method} is not supported by this proxy` };
    }
    const problem = targetProblem(exchange.target);
    if (problem !== null) return badRequest(problem);
    // The runtime drops the body of GET and HEAD: better to refuse than to forward half a request.
    if ((method === "GET" || method === "HEAD") && hasBody(exchange)) {
      return badRequest(`a body in a ${method} request is not supported by this proxy, use POST`);
    }
    return null;
  }

  #parseAuthority(raw: string): Authority | null {
    let authority = this.#hosts.get(raw);
    if (authority === undefined) {
      authority = parseAuthority(raw);
      if (this.#hosts.size >= MAX_REMEMBERED_HOSTS) this.#hosts.clear();
      this.#hosts.set(raw, authority);
    }
    return authority;
  }

  #matchDomain(exchange: Exchange): Refusal | null {
    exchange.domain = exchange.snapshot.domains.match(exchange.host);
    if (exchange.domain !== null) return null;
    return { code: "domain_not_found", message: "Domain not found" };
  }

  /** Tries targets until one takes the request; only what cannot have been acted on is tried again. */
  async #forward(exchange: Exchange): Promise<Response> {
    const { balancer } = exchange.snapshot;
    let tried: Set<number> | undefined;
    let fault: Refusal = {
      code: "no_target",
      message: "Service unavailable: no healthy target, see /health on the health port",
    };
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const target = balancer.acquire(exchange.peerIp, tried);
      if (target === null) break;
      exchange.upstream = target;
      exchange.targetName = target.config.name;
      exchange.retries = attempt - 1;
      try {
        const response = await this.#send(exchange, target);
        return this.#respond(exchange, target, response);
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        this.#metrics.target(target.config.name).error(error.code);
        fault = error;
        if (error.sent || exchange.abort.aborted) break;
        balancer.release(target);
        exchange.upstream = null;
        (tried ??= new Set()).add(target.slot);
      }
    }
    return this.#refuse(exchange, fault);
  }

  #send(exchange: Exchange, target: BalancedTarget): Promise<UpstreamResponse> {
    const { snapshot, fields, request } = exchange;
    const { config } = snapshot;
    exchange.upstreamStartedMs = performance.now();
    const body = hasBody(exchange);
    return snapshot.transports.for(target.config).send({
      target: target.config,
      method: exchange.method,
      path: target.config.basePath + exchange.target,
      headers: upstreamFields(fields, {
        peerIp: exchange.peerIp,
        scheme: exchange.scheme,
        authority: exchange.authority,
        requestId: exchange.requestId,
        trusted: config.security.trustProxyHeaders && isTrustedPeer(exchange.peerIp),
      }),
      body: body ? request.body : null,
      bodyLength: fields.contentLength === null ? null : Number(fields.contentLength),
      // Both bodies go between Deno.serve and the transport as they are: nobody else keeps their chunks.
      giveChunks: true,
      lendChunks: true,
      abort: exchange.abort,
      observer: exchange,
      connectTimeoutMs: config.httpClient.connectTimeoutMs,
      timeoutMs: target.config.timeoutMs ?? config.server.requestTimeoutMs,
    });
  }

  #respond(exchange: Exchange, target: BalancedTarget, upstream: UpstreamResponse): Response {
    exchange.upstreamMs = performance.now() - exchange.upstreamStartedMs;
    exchange.status = upstream.status;
    this.#metrics.target(target.config.name).finished(upstream.status);
    const { body } = upstream;
    const response = clientResponse(upstream);
    if (body === null) {
      this.#finish(exchange);
    } else if (body instanceof Uint8Array) {
      exchange.responseSize = body.length;
      this.#finish(exchange);
    }
    return response;
  }

  #refuse(exchange: Exchange, refusal: Refusal): Response {
    const { response, size } = answer(refusal, exchange.requestId);
    exchange.status = ERROR_STATUS[refusal.code];
    exchange.code = refusal.code;
    exchange.errorMessage = `${refusal.code}: ${refusal.message}`;
    exchange.responseSize = size;
    this.#finish(exchange);
    return response;
  }

  readonly #onBodyEnd = (exchange: Exchange, error: UpstreamError | null): void => {
    if (error !== null) {
      exchange.code = error.code;
      exchange.errorMessage = `${error.code}: ${error.message}`;
      if (exchange.upstream !== null) this.#metrics.target(exchange.upstream.config.name).error(error.code);
    }
    this.#finish(exchange);
  };

  #finish(exchange: Exchange): void {
    if (exchange.finished) return;
    exchange.finished = true;
    this.#inFlight.delete(exchange);
    const { snapshot, upstream, method, status } = exchange;
    if (upstream !== null) snapshot.balancer.release(upstream);
    const durationMs = performance.now() - exchange.startedMs;
    this.#metrics.end();
    this.#metrics.requestFinished(exchange.domain ?? "", method, status, durationMs);
    if (this.records !== null) {
      const timestamp = this.#timestamps.of(exchange.timestampMs);
      this.records.add(encodeRecord(this.#record(exchange, durationMs), timestamp));
    }
    if (this.#onIdle.length > 0 && this.#inFlight.size === 0) {
      for (const resolve of this.#onIdle) resolve();
      this.#onIdle = [];
    }
  }

  #record(exchange: Exchange, durationMs: number) {
    const { target } = exchange;
    const query = exchange.snapshot.config.logging.recordQuery ? -1 : target.indexOf("?");
    return {
      id: exchange.id,
      timestampMs: exchange.timestampMs,
      requestId: exchange.requestId,
      clientIp: exchange.peerIp,
      host: exchange.host,
      method: exchange.method,
      path: query === -1 ? target : target.slice(0, query),
      target: exchange.targetName,
      statusCode: exchange.status,
      durationMs,
      requestSize: exchange.requestSize,
      responseSize: exchange.responseSize,
      userAgent: exchange.fields.userAgent,
      errorMessage: exchange.errorMessage,
      route: exchange.domain,
      upstreamMs: exchange.upstreamMs,
      retries: exchange.retries,
      protocol: exchange.fields.host === null ? "h2" : "http/1.1",
      worker: this.#worker,
    };
  }
}

function badRequest(message: string): Refusal {
  return { code: "bad_request", message: `Bad request: ${message}` };
}

function clientGone(): UpstreamError {
  return new UpstreamError("client_gone", "the client left before it was answered", true);
}

/**
 * Whether the client sends a body (RFC 9112 section 6.3). HTTP/2 needs neither field; there the runtime gives
 * a stream to every method but GET and HEAD.
 */
function hasBody(exchange: Exchange): boolean {
  const { fields } = exchange;
  if (fields.contentLength !== null) return fields.contentLength !== "0";
  if (fields.transferEncoding !== null) return true;
  return fields.host === null && exchange.request.body !== null;
}

/**
 * The response as it goes to the client. Appending fields to the finished response takes 1 µs less than giving
 * them to its constructor (measured with six fields), which copies and checks them twice.
 */
function clientResponse({ status, headers, body }: UpstreamResponse): Response {
  const response = status === 200 ? new Response(body) : new Response(body, { status });
  const fields = response.headers;
  for (let i = 0; i < headers.length; i += 2) fields.append(headers[i], headers[i + 1]);
  return response;
}
