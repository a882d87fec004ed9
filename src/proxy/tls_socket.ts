/** A listening socket for TLS whose certificates depend on the name that the client asks for. */
import type { SocketAddress } from "../config/model.ts";
import { serverNameResolverKey } from "./http_runtime.ts";
import { CertificateChooser, type CertificateKeys } from "./tls_keys.ts";

/** HTTP/2 where the client has it. A client that offers neither is refused; one that offers none gets HTTP/1.1. */
const ALPN = ["h2", "http/1.1"];

/**
 * @param onName called for each name that the runtime has not asked for before; it remembers them all
 * @throws Error if the address cannot be bound, or a certificate is one that the runtime cannot use
 */
export function listenTls(
  address: SocketAddress,
  keys: CertificateKeys,
  onName: () => void = () => {},
  resolverKey = serverNameResolverKey(),
): Deno.TlsListener {
  const { hostname, port } = address;
  const socket = { hostname, port, reusePort: true, alpnProtocols: ALPN };
  if (resolverKey === null) {
    if (keys.byDomain.length > 0) {
      throw new Error(
        "cannot choose certificates by name: this version of the runtime has no way to, leave out tls.certificates",
      );
    }
    return Deno.listenTls({ ...socket, ...keys.default });
  }
  const chooser = new CertificateChooser(keys);
  const resolve = (name: string) => {
    onName();
    return chooser.choose(name);
  };
  return Deno.listenTls({ ...socket, [resolverKey]: resolve } as unknown as ListenTlsOptions);
}

type ListenTlsOptions = Deno.ListenTlsOptions & Deno.TlsCertifiedKeyPem;
