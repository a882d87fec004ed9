/** Certificates for tests, made by openssl: an authority and what it signs, in a folder of the caller's. */
import { join } from "node:path";

export interface LeafOptions {
  /** Names and IP addresses the certificate is for. */
  names: string[];
  /** Default 30; may be negative for one that has expired. */
  days?: number;
  /** Of the files; default: the first name. */
  file?: string;
}

export interface LeafFiles {
  certPath: string;
  keyPath: string;
}

async function openssl(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(`openssl ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** A certificate authority in a folder. */
export class Authority {
  private constructor(readonly directory: string) {}

  static async make(directory: string): Promise<Authority> {
    const authority = new Authority(directory);
    await newKey(authority.#keyPath);
    await openssl(
      ...["req", "-x509", "-new", "-key", authority.#keyPath, "-subj", "/CN=test authority", "-days", "30"],
      ...["-addext", "basicConstraints=critical,CA:TRUE", "-out", authority.caPath],
    );
    return authority;
  }

  /** Its own certificate, PEM. */
  get caPath(): string {
    return join(this.directory, "ca.pem");
  }

  get caPem(): string {
    return Deno.readTextFileSync(this.caPath);
  }

  get #keyPath(): string {
    return join(this.directory, "ca.key");
  }

  /** A certificate for `names` with a key of its own; files that are there are replaced. */
  async leaf({ names, days = 30, file = names[0] }: LeafOptions): Promise<LeafFiles> {
    const path = (extension: string) => join(this.directory, `${file.replace("*", "_")}.${extension}`);
    const [certPath, keyPath, requestPath, extPath] = ["pem", "key", "csr", "ext"].map(path);
    await newKey(keyPath);
    Deno.chmodSync(keyPath, 0o600);
    await openssl("req", "-new", "-key", keyPath, "-subj", `/CN=${names[0]}`, "-out", requestPath);
    const alternatives = names.map((name) => /^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`);
    Deno.writeTextFileSync(extPath, `subjectAltName=${alternatives.join(",")}\nbasicConstraints=CA:FALSE\n`);
    await openssl(
      ...["x509", "-req", "-in", requestPath, "-CA", this.caPath, "-CAkey", this.#keyPath, "-CAcreateserial"],
      ...["-days", `${days}`, "-extfile", extPath, "-out", certPath],
    );
    return { certPath, keyPath };
  }
}

async function newKey(path: string): Promise<void> {
  await openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path);
}
