/** One listening socket of a proxy thread. All threads listen on the same port (SO_REUSEPORT). */
import type { SocketAddress } from "../config/model.ts";
import type { ProxyHandler } from "./handler.ts";

const IPV4_MAPPED = "::ffff:";

export class Listener {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  /** @throws Deno.errors.AddrInUse and the like if the address cannot be bound */
  constructor(address: SocketAddress, handler: ProxyHandler) {
    const context = { scheme: "http", port: address.port } as const;
    this.#server = Deno.serve(
      {
        hostname: address.hostname,
        port: address.port,
        reusePort: true,
        onListen: () => {},
        // A body stream that breaks ends here after the handler has recorded it: the connection is cut.
        onError: () => new Response(null, { status: 500 }),
      },
      (request, info) => {
        const ip = info.remoteAddr.hostname;
        return handler.handle(
          request,
          ip.startsWith(IPV4_MAPPED) ? ip.slice(IPV4_MAPPED.length) : ip,
          context,
        );
      },
    );
  }

  /** Accepts no more connections; resolves when every request in flight has been answered. */
  drain(): Promise<void> {
    return this.#server.shutdown();
  }
}
