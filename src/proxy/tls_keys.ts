/** Which certificate a client gets, by the server name it asks for. */
import { PatternTable } from "./domains.ts";

/** A certificate with its intermediates, and its key; `key` is secret. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** All certificates of a listener, as the control thread posts them. */
export interface CertificateKeys {
  /** For clients that name no server, or one without an entry. */
  default: KeyPair;
  /** `domain` as in `[[tls.certificates]]`. */
  byDomain: (KeyPair & { domain: string })[];
}

export class CertificateChooser {
  readonly #default: KeyPair;
  readonly #pairs: ReadonlyMap<string, KeyPair>;
  readonly #domains: PatternTable;

  constructor(keys: CertificateKeys) {
    this.#default = keys.default;
    this.#pairs = new Map(keys.byDomain.map(({ domain, cert, key }) => [domain, { cert, key }]));
    this.#domains = new PatternTable([...this.#pairs.keys()]);
  }

  /** @param serverName as the client wrote it; "" if it named none */
  choose(serverName: string): KeyPair {
    const domain = this.#domains.match(serverName.toLowerCase().replace(/\.$/, ""));
    return domain === null ? this.#default : this.#pairs.get(domain) ?? this.#default;
  }
}
