/**
 * Copies of requests to another target (`mirror` of a routing rule). The real request neither waits for its
 * copy nor fails with it: the copy is sent once the real body has been read to its end, its answer is thrown
 * away, and there is a bound to how many are under way.
 */
import type { TargetConfig } from "../config/model.ts";
import type { RequestMetrics } from "../metrics/mod.ts";
import {
  AbortHandle,
  type BodyObserver,
  UpstreamError,
  type UpstreamRequest,
} from "../upstream/transport.ts";
import type { Exchange } from "./exchange.ts";

/** Copies of one proxy thread under way at once; further ones are counted as skipped. */
const MAX_MIRRORS = 256;

/** What became of a copy. */
export type MirrorResult = "answered" | "failed" | "too_large" | "too_many" | "cut";

/** The bytes of a request's body as they pass to the target that is really asked. */
export class BodyCopy {
  readonly #maxBytes: number;
  #chunks: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;
  #state: "passing" | "whole" | "too_large" | "cut" = "passing";

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The same body for the real request. @param ended told once, when it is known what became of it */
  tap(
    source: ReadableStream<Uint8Array<ArrayBuffer>>,
    ended: (copy: BodyCopy) => void,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader = source.getReader();
    const end = (state: "whole" | "cut") => {
      if (this.#state === "passing") this.#state = state;
      ended(this);
    };
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (done) {
            controller.close();
            end("whole");
          } else {
            this.#keep(value);
            controller.enqueue(value);
          }
        } catch (fault) {
          end("cut");
          throw fault;
        }
      },
      cancel: async (reason) => {
        end("cut");
        await reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
  }

  #keep(chunk: Uint8Array<ArrayBuffer>): void {
    if (this.#state !== "passing") return;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) {
      this.#state = "too_large";
      this.#chunks = [];
    } else {
      // A copy: the transport may free the chunk's memory once it is sent.
      this.#chunks.push(chunk.slice());
    }
  }

  get result(): "whole" | "too_large" | "cut" {
    return this.#state === "passing" ? "cut" : this.#state;
  }

  get byteLength(): number {
    return this.#bytes;
  }

  stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return ReadableStream.from(this.#chunks);
  }
}

/** Sends copies and counts what becomes of them. */
export class Mirrors {
  readonly #metrics: RequestMetrics;
  #underWay = 0;

  constructor(metrics: RequestMetrics) {
    this.#metrics = metrics;
  }

  /**
   * Sends a copy of the exchange as it is forwarded.
   * @param body null: the request has none
   */
  send(exchange: Exchange, target: TargetConfig, body: BodyCopy | null): void {
    if (body !== null && body.result !== "whole") return this.#count(target, body.result);
    if (this.#underWay >= MAX_MIRRORS) return this.#count(target, "too_many");
    this.#underWay++;
    this.#exchange(exchange, target, body).then(
      (result) => this.#count(target, result),
    ).finally(() => this.#underWay--);
  }

  #count(target: TargetConfig, result: MirrorResult): void {
    this.#metrics.mirrored(target.name, result);
  }

  async #exchange(
    { snapshot, method, target: path, headers }: Exchange,
    target: TargetConfig,
    body: BodyCopy | null,
  ): Promise<MirrorResult> {
    const { config, transports } = snapshot;
    const request: UpstreamRequest = {
      target,
      method,
      path: target.basePath + path,
      headers: headers.slice(),
      body: body?.stream() ?? null,
      bodyLength: body === null ? null : body.byteLength,
      abort: new AbortHandle(),
      observer: UNOBSERVED,
      connectTimeoutMs: config.httpClient.connectTimeoutMs,
      timeoutMs: target.timeoutMs ?? config.server.requestTimeoutMs,
    };
    try {
      const response = await transports.for(target).send(request);
      if (response.body instanceof ReadableStream) await response.body.cancel();
      return "answered";
    } catch (fault) {
      if (fault instanceof UpstreamError) return "failed";
      throw fault;
    }
  }
}

const UNOBSERVED: BodyObserver = {
  requestBytes() {},
  responseBytes() {},
  responseEnded() {},
};
