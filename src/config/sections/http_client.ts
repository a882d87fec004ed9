/** `[http_client]`: how connections to targets are made and kept. */
import type * as z from "zod";
import { choice, field, flag, parsedText, seconds, table, toSeconds, wholeNumber } from "../fields.ts";
import type { HttpClientConfig } from "../model.ts";
import { parseFilePath } from "../text_values.ts";

export const httpClientSchema = table({
  transport: field(
    choice("auto", "http1", "fetch").prefault("auto"),
    "How targets are spoken to: http1 directly over sockets, fetch through the runtime's client, auto by the URL.",
  ),
  pool_max_idle_per_host: field(
    wholeNumber(0, 65_535).prefault(32),
    "Most idle connections kept per target; 0 makes a new connection for each request.",
  ),
  pool_idle_timeout_secs: field(
    seconds().prefault(90),
    "Seconds after which an idle connection to a target is closed.",
  ),
  connect_timeout_secs: field(seconds().prefault(5), "Seconds a connection to a target may take to be made."),
  ca_file: field(
    parsedText("the path of a PEM file with certificates", parseFilePath).optional(),
    "Certificates of authorities, PEM, that the certificates of https targets may be signed by, beside the " +
      "well-known authorities. Read when the configuration is.",
  ),
  client_cert_file: field(
    parsedText("the path of a PEM file with the certificate and its intermediates", parseFilePath).optional(),
    "Certificate that is shown to https targets that ask for one, PEM; needs client_key_file. Read when the " +
      "configuration is.",
  ),
  client_key_file: field(
    parsedText("the path of a PEM file with the private key", parseFilePath).optional(),
    "Private key of client_cert_file, PEM without a passphrase.",
  ),
  insecure_skip_verify: field(
    flag().refine((skip) => !skip, {
      error:
        "false: the runtime cannot leave out the check of a target's certificate for single connections; " +
        "name the authority that signed it in ca_file",
    }).prefault(false),
    "Not possible with this runtime, which checks the certificate of every target; use ca_file.",
  ),
});

export function httpClientFromFile(file: z.output<typeof httpClientSchema>): HttpClientConfig {
  return {
    transport: file.transport,
    poolMaxIdlePerHost: file.pool_max_idle_per_host,
    poolIdleTimeoutMs: file.pool_idle_timeout_secs,
    connectTimeoutMs: file.connect_timeout_secs,
    caPath: file.ca_file ?? null,
    clientCertificate: file.client_cert_file === undefined || file.client_key_file === undefined
      ? null
      : { certPath: file.client_cert_file, keyPath: file.client_key_file },
  };
}

export function httpClientToFile(client: HttpClientConfig): z.input<typeof httpClientSchema> {
  return {
    transport: client.transport,
    pool_max_idle_per_host: client.poolMaxIdlePerHost,
    pool_idle_timeout_secs: toSeconds(client.poolIdleTimeoutMs),
    connect_timeout_secs: toSeconds(client.connectTimeoutMs),
    ca_file: client.caPath ?? undefined,
    client_cert_file: client.clientCertificate?.certPath,
    client_key_file: client.clientCertificate?.keyPath,
  };
}
