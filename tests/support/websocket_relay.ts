/** A proxy that does nothing but pass WebSockets on, in front of one target, and a raw client for it. */
import type { TargetConfig } from "../../src/config/model.ts";
import { type FlatHeaders, setField } from "../../src/http/flat_headers.ts";
import { AbortHandle, type UpstreamResponse } from "../../src/upstream/transport.ts";
import { acceptWebSocket } from "../../src/websocket/client_socket.ts";
import {
  connectionRelease,
  connectWebSocket,
  openSession,
  type SessionObserver,
  UpstreamSocket,
  type WebSocketLimits,
  WebSocketSession,
  WebSocketSessions,
} from "../../src/websocket/mod.ts";

export const LIMITS: WebSocketLimits = {
  maxMessageBytes: 64 * 1024 * 1024,
  maxBufferedBytes: 1024 * 1024,
  pingIntervalMs: 0,
  idleTimeoutMs: 0,
  openTimeoutMs: 10_000,
  closeTimeoutMs: 5000,
  stallTimeoutMs: 60_000,
};

export interface RelayOptions {
  limits?: Partial<WebSocketLimits>;
  observer?: SessionObserver;
  /** How connections are accepted; `accept loop` is what the proxy does where the runtime lets it. */
  listener?: "Deno.serve" | "accept loop";
  /** Does without the runtime's internals. */
  withoutHooks?: boolean;
}

type ServeOn = (
  conn: Deno.Conn,
  signal: AbortSignal,
  handler: (request: Request) => Promise<Response>,
  onError: () => Response,
  onListen: () => void,
) => { finished: Promise<void> };

export class Relay implements AsyncDisposable {
  readonly port: number;
  readonly sessions = new WebSocketSessions();
  /** Every session so far, in the order in which they began. */
  readonly all: WebSocketSession[] = [];
  readonly #limits: WebSocketLimits;
  readonly #close: () => Promise<void>;

  constructor(readonly target: TargetConfig, readonly options: RelayOptions = {}) {
    this.#limits = { ...LIMITS, ...options.limits };
    if (options.listener === "accept loop") {
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      this.port = (listener.addr as Deno.NetAddr).port;
      this.#close = this.#acceptFrom(listener);
    } else {
      const server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen() {} },
        (request) => this.#handle(request, null),
      );
      this.port = server.addr.port;
      this.#close = () => server.shutdown();
    }
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** The session that began first, once it has. */
  get first(): WebSocketSession {
    return this.all[0];
  }

  #acceptFrom(listener: Deno.Listener): () => Promise<void> {
    const { serveHttpOnConnection } = (Deno as unknown as Record<symbol, { serveHttpOnConnection: ServeOn }>)[
      (Deno as unknown as { internal: symbol }).internal
    ];
    const finished: Promise<void>[] = [];
    /** Of the connections that speak HTTP. */
    const open = new Set<AbortController>();
    const accepting = (async () => {
      for await (const conn of listener) {
        const abort = new AbortController();
        open.add(abort);
        let release: (() => void) | null = null;
        const onOpen = () => {
          open.delete(abort);
          release?.();
        };
        const server = serveHttpOnConnection(
          conn,
          abort.signal,
          (request) => this.#handle(request, onOpen),
          () => new Response(null, { status: 500 }),
          () => {},
        );
        release = connectionRelease();
        // On Deno 2.6 it rejects where a client left before it was answered.
        const done = () => void open.delete(abort);
        finished.push(server.finished.then(done, done));
      }
    })();
    return async () => {
      listener.close();
      await accepting;
      for (const abort of open) abort.abort();
      await Promise.all(finished);
    };
  }

  async #handle(request: Request, release: (() => void) | null): Promise<Response> {
    const headers: FlatHeaders = [];
    for (const [name, value] of request.headers) {
      if (name !== "connection" && name !== "upgrade") headers.push(name, value);
    }
    setField(headers, "x-forwarded-for", "127.0.0.1");
    const upstream = await connectWebSocket({
      target: this.target,
      path: request.url.slice(request.url.indexOf("/", 8)),
      headers,
      abort: new AbortHandle(),
      observer: { requestBytes() {}, responseBytes() {}, responseEnded() {} },
      connectTimeoutMs: 5000,
      timeoutMs: 5000,
    }, this.#limits);
    if (!(upstream instanceof UpstreamSocket)) return ordinary(upstream);
    const { response, session } = this.#open(request, upstream, release);
    this.sessions.add(session);
    this.all.push(session);
    return response;
  }

  #open(request: Request, upstream: UpstreamSocket, onOpen: (() => void) | null) {
    const limits = this.#limits;
    const observer = this.options.observer ?? null;
    if (!this.options.withoutHooks) {
      return openSession(request, upstream, { limits, headers: upstream.headers, observer, onOpen });
    }
    const { response, client } = acceptWebSocket(request, {
      protocol: upstream.protocol,
      headers: upstream.headers,
      limits,
      onOpen,
      hooks: null,
    });
    return { response, session: new WebSocketSession(client, upstream, limits, observer) };
  }

  /** Closes all sessions, then the listener. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.sessions.closeAll(1001, "the test is over");
    await this.#close();
  }
}

function ordinary({ status, headers, body }: UpstreamResponse): Response {
  const response = new Response(body, { status });
  for (let i = 0; i < headers.length; i += 2) response.headers.append(headers[i], headers[i + 1]);
  return response;
}
