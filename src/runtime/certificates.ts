/**
 * The certificates of the TLS listener as the control thread sees them: read from their files, renewed when
 * the files change, their expiry told to /health and the exporter.
 */
import { readCertificate } from "../config/certificate_files.ts";
import type { CertificateFiles, TlsConfig } from "../config/model.ts";
import type { CertificateKeys, KeyPair } from "../proxy/tls_keys.ts";
import type { Log } from "./log.ts";

/** How often the files are looked at. A change is taken up once they look the same twice in a row. */
const POLL_MS = 2_000;

/** What certificate there is for a domain; `*` for all that have none of their own. */
export interface CertificateInfo {
  domain: string;
  notAfterMs: number;
}

/** The certificates of one configuration, read and tried. */
export interface LoadedCertificates {
  keys: CertificateKeys;
  infos: readonly CertificateInfo[];
  /** The look of all files from outside when they were read. */
  appearance: string;
}

/**
 * Reads all certificates of a configuration.
 * @returns null where `tls.enabled` is off
 * @throws Error that names the file; no key is in its text
 */
export async function loadCertificates(tls: TlsConfig): Promise<LoadedCertificates | null> {
  if (!tls.enabled) return null;
  const appearance = await appearanceOf(tls);
  const infos: CertificateInfo[] = [];
  const byDomain: CertificateKeys["byDomain"] = [];
  for (const { domain, ...files } of tls.certificates) {
    const { pair, notAfterMs } = await load(files);
    byDomain.push({ domain, ...pair });
    infos.push({ domain, notAfterMs });
  }
  let fallback: KeyPair = byDomain[0];
  if (tls.defaultCertificate !== null) {
    const { pair, notAfterMs } = await load(tls.defaultCertificate);
    fallback = pair;
    infos.unshift({ domain: "*", notAfterMs });
  }
  return { keys: { default: { cert: fallback.cert, key: fallback.key }, byDomain }, infos, appearance };
}

async function load(files: CertificateFiles): Promise<{ pair: KeyPair; notAfterMs: number }> {
  const read = await readCertificate(files);
  if (!read.ok) throw new Error(read.message);
  const pair = { cert: read.certificate.certPem, key: read.certificate.keyPem };
  tryOut(pair, files);
  return { pair, notAfterMs: read.certificate.notAfterMs };
}

/** A listener that chooses by name takes any keys and fails with its clients; one with a single pair does not. */
function tryOut(pair: KeyPair, { certPath }: CertificateFiles): void {
  try {
    Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...pair }).close();
  } catch (fault) {
    const reason = fault instanceof Error ? fault.message : String(fault);
    throw new Error(`cannot use the certificate in "${certPath}" with its key: ${reason}`, { cause: fault });
  }
}

function filesOf(tls: TlsConfig): string[] {
  const pairs = [...tls.certificates, ...(tls.defaultCertificate === null ? [] : [tls.defaultCertificate])];
  return pairs.flatMap(({ certPath, keyPath }) => [certPath, keyPath]);
}

async function appearanceOf(tls: TlsConfig): Promise<string> {
  const looks = await Promise.all(
    filesOf(tls).map(async (path) => {
      try {
        const { dev, ino, size, mtime } = await Deno.stat(path);
        return [dev, ino, size, mtime?.getTime()].join(":");
      } catch (fault) {
        return String(fault);
      }
    }),
  );
  return looks.join("\n");
}

export interface CertificateWatchOptions {
  onRenewed: (keys: CertificateKeys) => void;
  log: Log;
  pollMs?: number;
}

/** Keeps the certificates in use up to date with their files. */
export class CertificateWatch {
  readonly #options: CertificateWatchOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #tls: TlsConfig | null = null;
  #loaded: LoadedCertificates | null = null;
  /** The look that was tried last, for good or for bad. */
  #tried = "";
  #seen = "";
  #polling: Promise<void> | null = null;

  constructor(options: CertificateWatchOptions) {
    this.#options = options;
  }

  /** These are in use from now on. @param loaded what `loadCertificates` has made of `tls` */
  use(tls: TlsConfig, loaded: LoadedCertificates | null): void {
    this.#tls = loaded === null ? null : tls;
    this.#loaded = loaded;
    this.#tried = this.#seen = loaded?.appearance ?? "";
    if (loaded === null) return;
    this.#timer ??= setInterval(() => {
      this.#polling ??= this.#poll().finally(() => this.#polling = null);
    }, this.#options.pollMs ?? POLL_MS);
  }

  get infos(): readonly CertificateInfo[] {
    return this.#loaded?.infos ?? [];
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#polling;
  }

  async #poll(): Promise<void> {
    const tls = this.#tls;
    if (tls === null) return;
    const appearance = await appearanceOf(tls);
    const settled = appearance === this.#seen;
    this.#seen = appearance;
    // Certificate and key are written one after the other.
    if (!settled || appearance === this.#tried || tls !== this.#tls) return;
    this.#tried = appearance;
    const { log, onRenewed } = this.#options;
    let loaded: LoadedCertificates | null;
    try {
      loaded = await loadCertificates(tls);
    } catch (fault) {
      log("error", "renewed certificates cannot be used, the old ones stay", {
        reason: fault instanceof Error ? fault.message : String(fault),
      });
      return;
    }
    if (loaded === null || tls !== this.#tls) return;
    this.#loaded = loaded;
    onRenewed(loaded.keys);
    log("info", "certificates renewed", {
      certificates: loaded.infos.map(({ domain, notAfterMs }) =>
        `${domain} until ${new Date(notAfterMs).toISOString()}`
      ).join(", "),
    });
  }
}
