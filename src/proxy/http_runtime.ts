/**
 * What the runtime can do for a listener beyond its public API. `Deno.serve` has no time-outs for clients and
 * one certificate; two functions that it is built of itself are reachable under `Deno[Deno.internal]` and have
 * neither limit. They are nobody's promise: whoever uses them takes what is here or does without, and a test
 * notices when they go.
 */

/** A connection that is being served. */
export interface ConnectionServer {
  /** Settles when the connection is closed; rejects where that was no orderly end. */
  readonly finished: Promise<void>;
  /**
   * Writes what it has of answers, then closes; from the call on the connection cannot be aborted any more. What
   * becomes of requests in flight: see `SHUTDOWN_TELLS_CLIENTS`.
   */
  shutdown(): Promise<void>;
}

/** The little of an AbortSignal that the runtime uses; a real one costs 1 kB a connection. */
export interface AbortSource {
  addEventListener(type: "abort", abort: () => void): void;
}

export type ServeConnection = (
  connection: Deno.Conn,
  signal: AbortSource,
  handler: (request: Request) => Response | Promise<Response>,
  onError: (fault: unknown) => Response,
  onListen: () => void,
) => ConnectionServer;

/**
 * Up to Deno 2.8, answers that begin after a `shutdown` say `connection: close`, and bodies of requests go on being
 * read; but it calls itself finished before the answer is written, and after an answer that says so by itself it
 * cuts that, or panics (seen in 2.6.8). From 2.9 on it says nothing and cuts bodies of requests: it has to come
 * after the answer.
 */
export const SHUTDOWN_TELLS_CLIENTS = !isDenoFrom(2, 9);

function internals(): Record<PropertyKey, unknown> {
  const deno = Deno as unknown as Record<PropertyKey, unknown>;
  const found = deno[deno.internal as symbol];
  return typeof found === "object" && found !== null ? found as Record<PropertyKey, unknown> : {};
}

/** HTTP on an accepted connection; null where this runtime lacks it. */
export function serveConnection(): ServeConnection | null {
  const found = internals().serveHttpOnConnection;
  return typeof found === "function" ? found as ServeConnection : null;
}

/**
 * The key of `Deno.listenTls`'s options under which a function from a client's server name ("" for none) to
 * certificate and key stands; null where this runtime lacks it. The runtime remembers each answer by name for
 * as long as the listener is open.
 */
export function serverNameResolverKey(): symbol | null {
  const found = internals().resolverSymbol;
  return typeof found === "symbol" ? found : null;
}

export function isDenoFrom(major: number, minor: number): boolean {
  const [ownMajor, ownMinor] = Deno.version.deno.split(".").map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}
