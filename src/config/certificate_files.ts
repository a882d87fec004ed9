/**
 * Certificates and private keys on disk: read, and looked at as closely as can be done without a listener, so
 * that a bad one is a problem of the configuration and not of the first client.
 */
import type { Buffer } from "node:buffer";
import type { X509Certificate } from "node:crypto";
import type { CertificateFiles } from "./model.ts";
import { quote } from "./problem.ts";

/** A certificate and its key, fit to be used. `keyPem` is secret: not for logs, messages or errors. */
export interface Certificate {
  /** The certificate itself first, then its intermediates. */
  certPem: string;
  keyPem: string;
  notBeforeMs: number;
  notAfterMs: number;
  /** Whether other users of the machine can read the key. */
  keyReadableByAll: boolean;
}

export type CertificateRead =
  | { ok: true; certificate: Certificate }
  /** `at`: which of the two files is the trouble. */
  | { ok: false; at: "cert" | "key"; message: string };

/** Loaded when the first certificate is read: without any it would only take memory. */
const nodeCrypto = () => import("node:crypto");

const MAX_PEM_BYTES = 1024 * 1024;

/** Reads a pair of files. Never throws for what is in them; messages quote paths, never contents. */
export async function readCertificate({ certPath, keyPath }: CertificateFiles): Promise<CertificateRead> {
  const certFile = await readPem(certPath);
  if (!certFile.ok) return { ok: false, at: "cert", message: certFile.message };
  const chain = await parseCertificates(certFile.text);
  if (chain === null) return { ok: false, at: "cert", message: notPem(certPath, "a certificate") };
  const keyFile = await readPem(keyPath);
  if (!keyFile.ok) return { ok: false, at: "key", message: keyFile.message };
  const fits = await keyFits(chain[0], keyFile.text);
  if (fits === "encrypted") {
    return {
      ok: false,
      at: "key",
      message: `${quote(keyPath)} has a passphrase, wanted a private key without one`,
    };
  }
  if (fits === "unreadable") return { ok: false, at: "key", message: notPem(keyPath, "a private key") };
  if (fits === "no") {
    return {
      ok: false,
      at: "key",
      message: `${quote(keyPath)} is the key of another certificate, wanted that of ${quote(certPath)}`,
    };
  }
  return {
    ok: true,
    certificate: {
      certPem: certFile.text,
      keyPem: keyFile.text,
      notBeforeMs: Date.parse(chain[0].validFrom),
      notAfterMs: Date.parse(chain[0].validTo),
      keyReadableByAll: keyFile.readableByAll,
    },
  };
}

/** The certificates of authorities in a file, as one PEM text; or what is wrong with it. */
export async function readAuthorities(
  path: string,
): Promise<{ ok: true; pem: string } | { ok: false; message: string }> {
  const file = await readPem(path);
  if (!file.ok) return file;
  if (await parseCertificates(file.text) === null) {
    return { ok: false, message: notPem(path, "certificates") };
  }
  return { ok: true, pem: file.text };
}

function notPem(path: string, what: string): string {
  return `${quote(path)} holds nothing that can be read as ${what}, wanted PEM`;
}

type PemFile = { ok: true; text: string; readableByAll: boolean } | { ok: false; message: string };

async function readPem(path: string): Promise<PemFile> {
  try {
    const { size, mode, isDirectory } = await Deno.stat(path);
    if (isDirectory) return { ok: false, message: `${quote(path)} is a directory, wanted a PEM file` };
    if (size > MAX_PEM_BYTES) {
      return { ok: false, message: `${quote(path)} has ${size} bytes, wanted at most ${MAX_PEM_BYTES}` };
    }
    const readableByAll = mode !== null && (mode & 0o004) !== 0;
    return { ok: true, text: await Deno.readTextFile(path), readableByAll };
  } catch (fault) {
    return { ok: false, message: `cannot read ${quote(path)}: ${reasonOf(fault)}` };
  }
}

function reasonOf(fault: unknown): string {
  if (fault instanceof Deno.errors.NotFound) return "there is no such file";
  if (fault instanceof Deno.errors.PermissionDenied) return "permission denied";
  return fault instanceof Error ? fault.message : String(fault);
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Null where there is none, or one that cannot be read. */
async function parseCertificates(text: string): Promise<X509Certificate[] | null> {
  const blocks = text.match(PEM_CERTIFICATE);
  if (blocks === null) return null;
  const { X509Certificate } = await nodeCrypto();
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (_fault) {
    return null;
  }
}

/**
 * The runtime ends the process on a pair that does not match where it is a client's (Deno 2.6), so that the
 * two are compared here first. It cannot tell the public key of an Ed25519 certificate there.
 */
async function keyFits(
  certificate: X509Certificate,
  keyPem: string,
): Promise<"yes" | "no" | "encrypted" | "unreadable"> {
  if (/ENCRYPTED/.test(keyPem)) return "encrypted";
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(keyPem)) return "unreadable";
  const { createPublicKey } = await nodeCrypto();
  let ofKey: Buffer;
  try {
    ofKey = createPublicKey(keyPem).export({ type: "spki", format: "der" });
  } catch (_fault) {
    return "unreadable";
  }
  let ofCertificate: Buffer;
  try {
    ofCertificate = certificate.publicKey.export({ type: "spki", format: "der" });
  } catch (_fault) {
    return "yes";
  }
  return ofKey.equals(ofCertificate) ? "yes" : "no";
}
