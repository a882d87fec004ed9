/** One request on its way through the proxy: what every step reads and changes, and the last one records. */
import type { BalancedTarget, Balancer } from "../balancing/balancer.ts";
import type { FlatHeaders } from "../http/flat_headers.ts";
import type { RequestMessage } from "../http/message.ts";
import { encodePath, matchingPath, splitTarget } from "../http/path.ts";
import type { ErrorCode, Refusal } from "../http/refusal.ts";
import type { Route } from "../routing/mod.ts";
import type { BodyGuard } from "../security/request_limits.ts";
import { AbortHandle, type BodyObserver, UpstreamError } from "../upstream/transport.ts";
import type { ClientConnection } from "./connections.ts";
import { failureDetail } from "./failure.ts";
import { type RequestFields, upstreamFields } from "./headers.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Trace } from "./trace.ts";

/** What is read of the listener's request; `explain` has one that came over no socket. */
export type IncomingRequest = Pick<Request, "method" | "url" | "headers" | "body" | "signal">;

/** Where a request came from. */
export interface Origin {
  peerIp: string;
  /** The peer, or the client that a trusted proxy names. */
  clientIp: string;
  /** Whether the peer is a proxy whose X-Forwarded-* fields are believed and passed on. */
  trusted: boolean;
  scheme: "http" | "https";
}

export class Exchange implements RequestMessage, BodyObserver {
  readonly startedMs = performance.now();
  readonly timestampMs = Date.now();
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly clientIp: string;

  /** The client's own id, or a new one. */
  requestId = "";
  /** Id of the record; the same as `requestId` where the client sent none. */
  id = "";
  /** Host as the client wrote it, with its port. */
  authority = "";
  host = "";
  /** Path and query as the client wrote them, one character a byte: for the record. */
  receivedTarget = "";
  /** The domain pattern that matched; null before that step and if none did. */
  domain: string | null = null;

  /** The routing rule that took it; null before that step and if none did. */
  route: Route | null = null;
  /** Of the targets that the rule chose; null: of all. */
  balancer: Balancer | null = null;

  /**
   * Whether the client sends a body (RFC 9112 section 6.3). HTTP/2 needs neither field for it; there the runtime
   * gives a stream to every method but GET and HEAD.
   */
  readonly hasBody: boolean;
  /** What is sent to the target as the request's body; null before forwarding, and without one. */
  body: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  /** The target that is counted as in use; given back at the end. */
  upstream: BalancedTarget | null = null;
  /** Name of the target tried last, for the record. */
  targetName: string | null = null;
  retries = 0;
  upstreamStartedMs = 0;
  upstreamMs: number | null = null;

  /** Whether the client asks for a WebSocket, and may have one. */
  isWebSocket = false;
  /** Bytes of the body that came from the client. */
  requestSize = 0;
  /** Pieces that the request's body came in. */
  requestChunks = 0;
  /** Holds the body to its limits; null: it has none, or there is no body. */
  guard: BodyGuard | null = null;
  /** Why the body is not taken any more; null: it is. */
  bodyRefusal: Refusal | null = null;
  responseSize = 0;
  status = 0;
  code: ErrorCode | null = null;
  errorMessage: string | null = null;
  finished = false;
  /** Whether the client's connection ends with the answer: the runtime does not close it for `connection: close`. */
  closes = false;
  /** The upstream's body has come to its end before the answer began: a plugin looks at its header first. */
  earlyEnd: { error: UpstreamError | null } | null = null;
  /** Whether the upstream's body is thrown away because something else is sent in its place. */
  bodyDropped = false;
  /** Whether the client's leaving is already listened for. */
  watched = false;
  /** Told of every decision; null unless somebody has asked why. */
  trace: Trace | null = null;
  readonly abort = new AbortHandle();

  /** Bytes that go out once more before there are new ones. */
  #bytesAgain = 0;
  /** Whether a piece of the answer waits for its reader. The sweep alone takes the time, for requests' sake. */
  #isUntaken = false;
  #untakenSinceMs: number | null = null;
  #untakenSize = 0;
  #target = "";
  #path: string | null = null;
  #headers: FlatHeaders | null = null;

  constructor(
    readonly request: IncomingRequest,
    readonly snapshot: Snapshot,
    readonly origin: Origin,
    readonly fields: RequestFields,
    /** That the request came on; null for one that came on none. */
    readonly connection: ClientConnection | null,
    private readonly onBodyEnd: (exchange: Exchange, error: UpstreamError | null) => void,
  ) {
    this.method = request.method;
    this.scheme = origin.scheme;
    this.clientIp = origin.clientIp;
    const { contentLength, transferEncoding } = fields;
    // Asked for now: the runtime throws once the answer has begun and the client is gone.
    this.hasBody = contentLength !== null
      ? contentLength !== "0"
      : transferEncoding !== null || (this.isHttp2 && request.body !== null);
  }

  /**
   * HTTP/2 has `:authority` where HTTP/1.1 has Host. One without TLS that has both fields cannot be told from
   * HTTP/1.1: it must declare the length of its body, and has time-outs only where its client leaves early.
   */
  get isHttp2(): boolean {
    return this.fields.host === null || this.connection?.agreedHttp2 === true;
  }

  get target(): string {
    return this.#target;
  }

  set target(target: string) {
    this.#target = target;
    this.#path = null;
  }

  get path(): string {
    return this.#path ??= matchingPath(splitTarget(this.#target).path);
  }

  set path(path: string) {
    const { query } = splitTarget(this.#target);
    const rooted = path.startsWith("/") ? path : `/${path}`;
    this.target = encodePath(rooted) + (query === null ? "" : `?${query}`);
  }

  get query(): string | null {
    return splitTarget(this.#target).query;
  }

  get headers(): FlatHeaders {
    return this.#headers ??= upstreamFields(this.fields, {
      peerIp: this.origin.peerIp,
      scheme: this.scheme,
      authority: this.authority,
      requestId: this.requestId,
      trusted: this.origin.trusted,
    });
  }

  get accept(): string | null {
    return this.request.headers.get("accept");
  }

  requestBytes(count: number): void {
    const again = Math.min(count, this.#bytesAgain);
    this.#bytesAgain -= again;
    count -= again;
    if (count === 0) return;
    this.requestSize += count;
    this.requestChunks++;
    if (this.guard === null) return;
    const refusal = this.guard.received(count, performance.now());
    if (refusal !== null) this.refuseBody(refusal);
  }

  /** The body goes out once more from its beginning: what the client has sent of it already counts once. */
  sendBodyAgain(): void {
    this.#bytesAgain = this.requestSize;
  }

  requestWaiting(waiting: boolean): void {
    if (this.guard === null) return;
    if (waiting) this.guard.waiting(performance.now());
    else this.guard.settled(performance.now());
  }

  /** Takes nothing more of the request's body, or gives nothing more of the answer's: the upstream is let go. */
  refuseBody(refusal: Refusal): void {
    if (this.bodyRefusal !== null) return;
    this.bodyRefusal = refusal;
    this.abort.abort(new UpstreamError("bad_request", refusal.message, true));
  }

  responseBytes(count: number): void {
    this.responseSize += count;
    this.#isUntaken = true;
  }

  responseWanted(): void {
    this.#isUntaken = false;
  }

  /** Gives the answer up if its reader has taken nothing of it for so long; to ask now and then. */
  giveUpReader(nowMs: number, sendTimeoutMs: number): void {
    if (!this.#isUntaken) {
      this.#untakenSinceMs = null;
    } else if (this.#untakenSinceMs === null || this.#untakenSize !== this.responseSize) {
      this.#untakenSinceMs = nowMs;
      this.#untakenSize = this.responseSize;
    } else if (nowMs - this.#untakenSinceMs >= sendTimeoutMs) {
      this.refuseBody({
        code: "slow_client",
        message: `the client took nothing of the answer for ${sendTimeoutMs / 1000} seconds`,
        detail: failureDetail({ phase: "body", timer: "server.send_timeout" }),
        denial: "slow_client",
      });
    }
  }

  responseEnded(error: UpstreamError | null): void {
    this.onBodyEnd(this, error);
  }
}
