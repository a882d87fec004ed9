/** `[tls]`: HTTPS for clients. Closed, because a protection that is asked for and not there must end the start. */
import * as z from "zod";
import { parseDomainPattern } from "../domain_pattern.ts";
import { closedTable, field, flag, list, type Parsed, parsedText, port, wholeNumber } from "../fields.ts";
import type { TlsConfig, TlsMinVersion } from "../model.ts";
import { parseFilePath } from "../text_values.ts";

/** Each is read, and held in memory by every proxy thread. */
const MAX_CERTIFICATES = 1000;

const pemPath = (what: string) => parsedText(`the path of a PEM file with ${what}`, parseFilePath);

export const certificateSchema = closedTable({
  domain: field(
    parsedText('a domain such as "example.com" or "*.example.com"', parseCertificateDomain),
    "Host name that clients ask for (SNI), or *. and a domain for all names below it. The most specific entry is " +
      "taken; it is not compared with the names in the certificate.",
  ),
  cert_path: field(
    pemPath("the certificate and its intermediates"),
    "Certificate and its intermediates, PEM.",
    {
      aliases: ["cert_file"],
    },
  ),
  key_path: field(pemPath("the private key"), "Private key of the certificate, PEM without a passphrase.", {
    aliases: ["key_file"],
  }),
});

/** For what a listener of the runtime has no setting. */
function impossible(wish: string) {
  return z.never({
    error: `${wish} is not possible: the runtime's TLS listener has no such setting, leave it out`,
  })
    .optional().describe("Not possible with this runtime.");
}

export const tlsSchema = closedTable({
  enabled: field(
    flag().optional(),
    "Whether clients can connect by HTTPS.",
    { defaultNote: "true where a certificate is named" },
  ),
  port: field(
    port().prefault(8443),
    "Port for HTTPS, with HTTP/2 for clients that offer it, on the host of server.bind_address.",
  ),
  plain_http: field(
    flag().prefault(true),
    "Whether server.bind_address goes on serving plain HTTP; with false there is HTTPS only, and port may be the " +
      "one of server.bind_address.",
  ),
  cert_file: field(
    pemPath("the certificate and its intermediates").optional(),
    "Certificate and its intermediates, PEM, for every name that [[tls.certificates]] has no entry for. Files are " +
      "looked at again every few seconds: renewed ones are used for new connections, bad ones leave the old in use.",
    { aliases: ["cert_path"] },
  ),
  key_file: field(
    pemPath("the private key").optional(),
    "Private key of cert_file, PEM without a passphrase. Nobody but the user that runs Dispa should be able to " +
      "read it.",
    { aliases: ["key_path"] },
  ),
  min_version: field(
    parsedText('"1.2"', parseMinVersion).prefault("1.2"),
    "Oldest version of TLS that is spoken. Always 1.2: the runtime speaks 1.2 and 1.3, nothing older, and cannot " +
      "leave out 1.2.",
  ),
  redirect_http: field(
    flag().prefault(false),
    "Whether requests over plain HTTP are answered with a redirect (308) to HTTPS instead of being forwarded.",
  ),
  redirect_port: field(
    wholeNumber(1, 65_535, "a port").optional(),
    "Port that redirects lead to, where clients reach HTTPS at another one than port, as behind a port mapping.",
    { defaultNote: "the value of port" },
  ),
  certificates: field(
    list(certificateSchema, MAX_CERTIFICATES, "certificates").prefault([]),
    "Certificates by the name the client asks for; the first one is for all other names where cert_file is not " +
      "set.",
  ),
  client_auth: impossible("asking clients for a certificate"),
  client_ca_file: impossible("asking clients for a certificate"),
  max_version: impossible("a newest version"),
  cipher_suites: impossible("a choice of ciphers"),
});

function parseCertificateDomain(text: string): Parsed<string> {
  const parsed = parseDomainPattern(text);
  const isName = parsed.ok && parsed.value !== "*" && !parsed.value.endsWith(".*") &&
    !parsed.value.startsWith("[");
  return isName ? parsed : { ok: false, wanted: 'a domain such as "example.com" or "*.example.com"' };
}

function parseMinVersion(text: string): Parsed<TlsMinVersion> {
  const version = /^(?:tlsv?)?1[._]?([0-3])$/i.exec(text.trim())?.[1];
  if (version === "2") return { ok: true, value: "1.2" };
  if (version === "3") {
    return { ok: false, wanted: '"1.2": the runtime cannot refuse TLS 1.2 to clients that want it' };
  }
  if (version !== undefined) return { ok: false, wanted: '"1.2": the runtime speaks nothing older' };
  return { ok: false, wanted: '"1.2"' };
}

export function tlsFromFile(file: z.output<typeof tlsSchema>): TlsConfig {
  const { cert_file: certPath, key_file: keyPath } = file;
  const enabled = isTlsEnabled(file);
  return {
    enabled,
    port: file.port,
    plainHttp: !enabled || file.plain_http,
    defaultCertificate: certPath === undefined || keyPath === undefined ? null : { certPath, keyPath },
    certificates: file.certificates.map(({ domain, cert_path, key_path }) => ({
      domain,
      certPath: cert_path,
      keyPath: key_path,
    })),
    minVersion: file.min_version,
    redirectHttp: file.redirect_http,
    redirectPort: file.redirect_port ?? file.port,
  };
}

/** Whoever names a certificate wants it used. */
export function isTlsEnabled(
  file: { enabled?: boolean; cert_file?: string; certificates?: readonly unknown[] },
): boolean {
  return file.enabled ?? (file.cert_file !== undefined || (file.certificates ?? []).length > 0);
}

export function tlsToFile(tls: TlsConfig): z.input<typeof tlsSchema> {
  return {
    enabled: tls.enabled,
    port: tls.port,
    plain_http: tls.plainHttp,
    cert_file: tls.defaultCertificate?.certPath,
    key_file: tls.defaultCertificate?.keyPath,
    min_version: tls.minVersion,
    redirect_http: tls.redirectHttp,
    redirect_port: tls.redirectPort === tls.port ? undefined : tls.redirectPort,
    certificates: tls.certificates.map(({ domain, certPath, keyPath }) => ({
      domain,
      cert_path: certPath,
      key_path: keyPath,
    })),
  };
}
