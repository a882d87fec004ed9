/** A small HTTP server for one of the Hono apps, on the control thread. */
import type { SocketAddress } from "../config/model.ts";

/** What a Hono app is to a server. */
export interface App {
  fetch(
    request: Request,
    bindings: { info: Deno.ServeHandlerInfo<Deno.NetAddr> },
  ): Response | Promise<Response>;
}

export class AppServer {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @throws Deno.errors.AddrInUse and the like if the address cannot be bound */
  constructor(readonly address: SocketAddress, app: App) {
    this.#server = Deno.serve(
      { hostname: address.hostname, port: address.port, onListen: () => {} },
      (request, info) => app.fetch(request, { info }),
    );
  }

  /** Waits for answers in flight, but not longer than `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, timeoutMs);
    await Promise.race([this.#server.shutdown(), timeout.promise]);
    clearTimeout(timer);
  }
}
