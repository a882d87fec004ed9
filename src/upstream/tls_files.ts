/** What https targets are met with: whose signatures are believed, and the certificate that is shown them. */
import type { HttpClientConfig } from "../config/model.ts";

export interface UpstreamTls {
  /** PEM certificates trusted beside the well-known ones. */
  caCerts: string[];
  /** Shown to targets that ask for one, PEM; `key` is secret. */
  clientPair: { cert: string; key: string } | null;
}

/**
 * Reads the files that `[http_client]` names, which have passed the checks of `config/`.
 * @throws Error that names the file if it cannot be used now
 */
export function readUpstreamTls({ caPath, clientCertificate }: HttpClientConfig): UpstreamTls {
  const caCerts = caPath === null ? [] : [read(caPath, "http_client.ca_file")];
  if (clientCertificate === null) return { caCerts, clientPair: null };
  const { certPath, keyPath } = clientCertificate;
  const clientPair = {
    cert: read(certPath, "http_client.client_cert_file"),
    key: read(keyPath, "http_client.client_key_file"),
  };
  try {
    // A client that is made with a pair that does not match ends the process (Deno 2.6); a listener throws.
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...clientPair }).close();
  } catch (cause) {
    throw new Error(
      `cannot use "${certPath}" with its key (http_client.client_cert_file): ${messageOf(cause)}`,
      {
        cause,
      },
    );
  }
  return { caCerts, clientPair };
}

function read(path: string, key: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (cause) {
    throw new Error(`cannot read "${path}" (${key}): ${messageOf(cause)}`, { cause });
  }
}

function messageOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}
