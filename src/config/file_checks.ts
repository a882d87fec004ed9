/** What only the files that a configuration names can tell: certificates and plugins that are missing, bad or too old. */
import { readAuthorities, readCertificate } from "./certificate_files.ts";
import type { CertificateFiles } from "./model.ts";
import { type Path, quote } from "./problem.ts";
import { pluginsSchema } from "./sections/plugins.ts";
import { httpClientSchema } from "./sections/http_client.ts";
import { isTlsEnabled, tlsSchema } from "./sections/tls.ts";
import { type Finding, type Table, valueAt } from "./tree.ts";

/** Larger ones are left to the plugin, which refuses them. */
const MAX_WASM_BYTES = 64 * 1024 * 1024;

/** Reads the files and nothing else. A section that is wrong in itself is passed over. */
export async function checkFiles(tree: Table, nowMs = Date.now()): Promise<Finding[]> {
  const checks = [tlsFiles(tree, nowMs), httpClientFiles(tree, nowMs), pluginFiles(tree)];
  return (await Promise.all(checks)).flat();
}

async function tlsFiles(tree: Table, nowMs: number): Promise<Finding[]> {
  const outcome = tlsSchema.safeParse(valueAt(tree, ["tls"]) ?? {});
  if (!outcome.success || !isTlsEnabled(outcome.data)) return [];
  const { cert_file, key_file, certificates } = outcome.data;
  const checks = certificates.map(({ cert_path, key_path }, index) => {
    const path = ["tls", "certificates", index];
    const files = { certPath: cert_path, keyPath: key_path };
    return certificateFindings(files, [...path, "cert_path"], [...path, "key_path"], nowMs);
  });
  if (cert_file !== undefined && key_file !== undefined) {
    const files = { certPath: cert_file, keyPath: key_file };
    checks.push(certificateFindings(files, ["tls", "cert_file"], ["tls", "key_file"], nowMs));
  }
  return (await Promise.all(checks)).flat();
}

async function httpClientFiles(tree: Table, nowMs: number): Promise<Finding[]> {
  const outcome = httpClientSchema.safeParse(valueAt(tree, ["http_client"]) ?? {});
  if (!outcome.success) return [];
  const { ca_file, client_cert_file, client_key_file } = outcome.data;
  const findings: Finding[] = [];
  if (ca_file !== undefined) {
    const authorities = await readAuthorities(ca_file);
    if (!authorities.ok) findings.push(finding("error", ["http_client", "ca_file"], authorities.message));
  }
  if (client_cert_file !== undefined && client_key_file !== undefined) {
    findings.push(
      ...await certificateFindings(
        { certPath: client_cert_file, keyPath: client_key_file },
        ["http_client", "client_cert_file"],
        ["http_client", "client_key_file"],
        nowMs,
      ),
    );
  }
  return findings;
}

/** The keys of `config` that name a plugin's module, by its type. */
const MODULE_KEYS: Partial<Record<string, string>> = { wasm: "module_path", script: "module" };

async function pluginFiles(tree: Table): Promise<Finding[]> {
  const outcome = pluginsSchema.safeParse(valueAt(tree, ["plugins"]) ?? {});
  if (!outcome.success || !outcome.data.enabled) return [];
  const checks = outcome.data.plugins.map(async ({ type, enabled, config }, index): Promise<Finding[]> => {
    const key = MODULE_KEYS[type];
    const file = key === undefined ? undefined : config[key];
    if (!enabled || key === undefined || typeof file !== "string") return [];
    const problem = await moduleProblem(file, type === "wasm");
    return problem === null
      ? []
      : [finding(problem.severity, ["plugins", "plugins", index, "config", key], problem.message)];
  });
  return (await Promise.all(checks)).flat();
}

/**
 * Null for a file that can be read and, if it must be, is WebAssembly. Whether it is a plugin, its start tells. One
 * that is not there yet is no error: a configuration may be written, and checked, before the module is built.
 */
async function moduleProblem(
  path: string,
  isWasm: boolean,
): Promise<Pick<Finding, "severity" | "message"> | null> {
  try {
    using file = await Deno.open(path);
    const { isFile, size } = await file.stat();
    if (!isFile) return { severity: "error", message: `cannot read ${quote(path)}: it is no file` };
    if (!isWasm || size > MAX_WASM_BYTES) return null;
    const binary = new Uint8Array(await new Response(file.readable).arrayBuffer());
    if (WebAssembly.validate(binary)) return null;
    return { severity: "error", message: `${quote(path)} is not a WebAssembly module` };
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound) {
      return {
        severity: "warning",
        message: `there is no file ${quote(path)}, without which Dispa does not start`,
      };
    }
    const reason = fault instanceof Error ? fault.message : String(fault);
    return { severity: "error", message: `cannot read ${quote(path)}: ${reason}` };
  }
}

async function certificateFindings(
  files: CertificateFiles,
  certKey: Path,
  keyKey: Path,
  nowMs: number,
): Promise<Finding[]> {
  const read = await readCertificate(files);
  if (!read.ok) return [finding("error", read.at === "cert" ? certKey : keyKey, read.message)];
  const { notBeforeMs, notAfterMs, keyReadableByAll } = read.certificate;
  const findings: Finding[] = [];
  const certificate = `the certificate in ${quote(files.certPath)}`;
  // A restart in the night after a missed renewal must bring back what can still be served.
  if (notAfterMs < nowMs) {
    findings.push(finding("warning", certKey, `${certificate} expired at ${iso(notAfterMs)}`));
  } else if (notBeforeMs > nowMs) {
    findings.push(finding("warning", certKey, `${certificate} is not valid before ${iso(notBeforeMs)}`));
  }
  if (keyReadableByAll) {
    findings.push(
      finding("warning", keyKey, `every user of this machine can read ${quote(files.keyPath)}: chmod o-r it`),
    );
  }
  return findings;
}

function finding(severity: Finding["severity"], path: Path, message: string): Finding {
  return { severity, path, at: "value", message };
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
