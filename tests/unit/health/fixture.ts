import type { TargetConfig } from "../../../src/config/model.ts";
import type { Clock } from "../../../src/health/clock.ts";

/** A target at a loopback port. */
export function localTarget(port: number, name = `local:${port}`, basePath = ""): TargetConfig {
  return {
    name,
    url: `http://127.0.0.1:${port}${basePath}`,
    protocol: "http",
    hostname: "127.0.0.1",
    port,
    basePath,
    group: null,
    weight: 1,
    timeoutMs: null,
    maxConnections: null,
    backup: false,
  };
}

export interface TestServer extends AsyncDisposable {
  port: number;
  /** Path and query of each request, in the order they came. */
  asked: string[];
}

/** A loopback server that answers by path; what it has no answer for is 404. */
export function serve(answer: (path: string, request: Request) => Response | Promise<Response> | undefined) {
  const asked: string[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    asked.push(pathname + search);
    return answer(pathname, request) ?? new Response("not here", { status: 404 });
  });
  return {
    port: server.addr.port,
    asked,
    [Symbol.asyncDispose]: () => server.shutdown(),
  } satisfies TestServer;
}

/** A loopback server that treats each connection's bytes itself; the connection is closed after `serve`. */
export function serveRaw(serve: (connection: Deno.Conn) => Promise<void>) {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const accepting = (async () => {
    for await (const connection of listener) {
      await serve(connection);
      connection.close();
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
    },
  };
}

/** A port that nobody listens on. */
export function closedPort(): number {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Time that stands still until it is advanced. */
export class FakeClock implements Clock {
  #timeMs = 1_000_000;
  readonly #timers = new Set<{ atMs: number; callback: () => void }>();

  now(): number {
    return 1_700_000_000_000 + this.#timeMs;
  }

  monotonicMs(): number {
    return this.#timeMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#timeMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Milliseconds until each waiting timer is due, soonest first. */
  get waitingMs(): number[] {
    return Array.from(this.#timers, ({ atMs }) => atMs - this.#timeMs).sort((a, b) => a - b);
  }

  /** Fires what is due on the way, in order. */
  advance(byMs: number): void {
    const endMs = this.#timeMs + byMs;
    for (;;) {
      const [next] = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (!next) break;
      this.#timers.delete(next);
      this.#timeMs = Math.max(this.#timeMs, next.atMs);
      next.callback();
    }
    this.#timeMs = endMs;
  }
}

/** Collects values and lets a test wait for as many as it expects. */
export class Events<T> {
  readonly #seen: T[] = [];
  #waiting: { count: number; resolve: () => void } | null = null;

  add(value: T): void {
    this.#seen.push(value);
    if (this.#waiting && this.#seen.length >= this.#waiting.count) this.#waiting.resolve();
  }

  /** Resolves with the next `count` values and forgets them. */
  async take(count: number): Promise<T[]> {
    if (this.#seen.length < count) {
      await new Promise<void>((resolve) => this.#waiting = { count, resolve });
      this.#waiting = null;
    }
    return this.#seen.splice(0, count);
  }

  get pending(): readonly T[] {
    return this.#seen;
  }
}
