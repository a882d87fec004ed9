/** One request on its way through the proxy: what every step reads and the last one records. */
import type { BalancedTarget } from "../balancing/balancer.ts";
import { AbortHandle, type BodyObserver, type UpstreamError } from "../upstream/transport.ts";
import type { ErrorCode } from "../http/refusal.ts";
import type { RequestFields } from "./headers.ts";
import type { Snapshot } from "./snapshot.ts";

export class Exchange implements BodyObserver {
  readonly startedMs = performance.now();
  readonly timestampMs = Date.now();
  readonly method: string;

  /** The client's own id, or a new one. */
  requestId = "";
  /** Id of the record; the same as `requestId` where the client sent none. */
  id = "";
  /** Host as the client wrote it, with its port. */
  authority = "";
  host = "";
  /** Path and query, one character a byte, as the client wrote them. */
  target = "";
  /** The domain pattern that matched; null before that step and if none did. */
  domain: string | null = null;

  /** The target that is counted as in use; given back at the end. */
  upstream: BalancedTarget | null = null;
  /** Name of the target tried last, for the record. */
  targetName: string | null = null;
  retries = 0;
  upstreamStartedMs = 0;
  upstreamMs: number | null = null;

  requestSize = 0;
  responseSize = 0;
  status = 0;
  code: ErrorCode | null = null;
  errorMessage: string | null = null;
  finished = false;
  /** Whether the client's leaving is already listened for. */
  watched = false;
  readonly abort = new AbortHandle();

  constructor(
    readonly request: Request,
    readonly snapshot: Snapshot,
    readonly peerIp: string,
    readonly scheme: "http" | "https",
    readonly fields: RequestFields,
    private readonly onBodyEnd: (exchange: Exchange, error: UpstreamError | null) => void,
  ) {
    this.method = request.method;
  }

  requestBytes(count: number): void {
    this.requestSize += count;
  }

  responseBytes(count: number): void {
    this.responseSize += count;
  }

  responseEnded(error: UpstreamError | null): void {
    this.onBodyEnd(this, error);
  }
}
