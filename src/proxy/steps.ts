/**
 * The steps between receiving a request and forwarding it. A configuration compiles into the list of those
 * it needs: what it leaves out costs nothing.
 */
import type { LocalAnswer } from "../http/message.ts";
import type { Refusal } from "../http/refusal.ts";
import type { DomainTable } from "./domains.ts";
import type { Exchange } from "./exchange.ts";

/** What ends an exchange before it is forwarded. */
export type Ending = Refusal | LocalAnswer;

export interface Step {
  readonly name: string;
  /** Null lets the exchange pass. Only a step that has to wait gives a promise. */
  run(exchange: Exchange): Ending | null | Promise<Ending | null>;
}

export function isRefusal(ending: object): ending is Refusal {
  return "code" in ending;
}

export class DomainStep implements Step {
  readonly name = "domain";
  readonly #domains: DomainTable;

  constructor(domains: DomainTable) {
    this.#domains = domains;
  }

  run(exchange: Exchange): Refusal | null {
    exchange.domain = this.#domains.match(exchange.host);
    if (exchange.domain !== null) {
      exchange.trace?.add("domain", "passed", `${exchange.host} is matched by "${exchange.domain}"`, {
        host: exchange.host,
        pattern: exchange.domain,
      });
      return null;
    }
    return { code: "domain_not_found", message: "Domain not found" };
  }
}
