/** Which transport carries a request to a target, by `http_client.transport` (DESIGN 6). */
import type { HttpClientConfig, TargetConfig } from "../config/model.ts";
import { FetchPool } from "./fetch_pool.ts";
import { createDial, type Dial } from "./http1_dial.ts";
import { Http1Pool } from "./http1_pool.ts";
import { readUpstreamTls, type UpstreamTls } from "./tls_files.ts";
import type { Transport } from "./transport.ts";

/** The pools of one `[http_client]` section. Each is made when it is first needed. */
export class TransportSet {
  #fetch: FetchPool | null = null;
  #http1: Http1Pool | null = null;
  #dial: Dial | null = null;

  readonly #tls: UpstreamTls;

  /** @throws Error if a file that the section names cannot be used */
  constructor(readonly config: HttpClientConfig) {
    this.#tls = readUpstreamTls(config);
  }

  /** Whether a set made now would be the same: the same settings, and the same in the files that they name. */
  isUpToDate(config: HttpClientConfig): boolean {
    return JSON.stringify(config) === JSON.stringify(this.config) &&
      JSON.stringify(readUpstreamTls(config)) === JSON.stringify(this.#tls);
  }

  for(target: TargetConfig): Transport {
    const { transport } = this.config;
    const direct = transport === "http1" || (transport === "auto" && target.protocol === "http");
    return direct ? this.http1 : this.fetch;
  }

  get fetch(): FetchPool {
    return this.#fetch ??= new FetchPool({
      poolMaxIdlePerHost: this.config.poolMaxIdlePerHost,
      poolIdleTimeoutMs: this.config.poolIdleTimeoutMs,
      ...this.#tls,
    });
  }

  get http1(): Http1Pool {
    return this.#http1 ??= new Http1Pool({
      poolMaxIdlePerHost: this.config.poolMaxIdlePerHost,
      poolIdleTimeoutMs: this.config.poolIdleTimeoutMs,
      ...this.#tls,
    });
  }

  /** Opens a connection of one's own, for what is no request and answer. */
  get dial(): Dial {
    return this.#dial ??= createDial(this.#tls.caCerts, this.#tls.clientPair);
  }

  /** Closes idle connections now, the others when their exchange has ended. */
  close(): void {
    this.#fetch?.close();
    this.#http1?.close();
  }
}
