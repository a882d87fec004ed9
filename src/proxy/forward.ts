/** Tries targets until one takes the request; only what cannot have been acted on is tried again. */
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { Refusal } from "../http/refusal.ts";
import type { RequestMetrics } from "../metrics/mod.ts";
import { UpstreamError, type UpstreamResponse } from "../upstream/transport.ts";
import type { Exchange } from "./exchange.ts";
import { hasBody } from "./receive.ts";

/** Targets tried for one request at the most. */
const MAX_ATTEMPTS = 3;

export class Forwarder {
  readonly #metrics: RequestMetrics;

  constructor(metrics: RequestMetrics) {
    this.#metrics = metrics;
  }

  /**
   * The answer of the first target that gives one, its body perhaps still arriving, or why there is none. The
   * target stays counted as in use until `release`.
   */
  async forward(exchange: Exchange): Promise<UpstreamResponse | Refusal> {
    const { balancer } = exchange.snapshot;
    let tried: Set<number> | undefined;
    let fault: Refusal = {
      code: "no_target",
      message: "Service unavailable: no healthy target, see /health on the health port",
    };
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const target = balancer.acquire(exchange.clientIp, tried);
      if (target === null) break;
      exchange.upstream = target;
      exchange.targetName = target.config.name;
      exchange.retries = attempt - 1;
      try {
        const response = await this.#send(exchange, target);
        exchange.upstreamMs = performance.now() - exchange.upstreamStartedMs;
        this.#metrics.target(target.config.name).finished(response.status);
        return response;
      } catch (error) {
        if (!(error instanceof UpstreamError)) throw error;
        this.#metrics.target(target.config.name).error(error.code);
        fault = error;
        if (error.sent || exchange.abort.aborted) break;
        this.release(exchange);
        (tried ??= new Set()).add(target.slot);
      }
    }
    return fault;
  }

  /** Counts the exchange's target out; once more does nothing. */
  release(exchange: Exchange): void {
    const { upstream, snapshot } = exchange;
    if (upstream === null) return;
    exchange.upstream = null;
    snapshot.balancer.release(upstream);
  }

  #send(exchange: Exchange, target: BalancedTarget): Promise<UpstreamResponse> {
    const { snapshot, fields, request } = exchange;
    const { config } = snapshot;
    exchange.upstreamStartedMs = performance.now();
    return snapshot.transports.for(target.config).send({
      target: target.config,
      method: exchange.method,
      path: target.config.basePath + exchange.target,
      headers: exchange.headers,
      body: hasBody(exchange) ? request.body : null,
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
}
