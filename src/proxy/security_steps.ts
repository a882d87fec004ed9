/** The steps of `security/` as parts of a request's way. */
import type { Refusal } from "../http/refusal.ts";
import type { AccessStep as Access } from "../security/access.ts";
import type { RateLimitStep as RateLimit } from "../security/rate_limit.ts";
import type { Exchange } from "./exchange.ts";
import type { Step } from "./steps.ts";

export class AccessStep implements Step {
  readonly name = "access";
  readonly #access: Access;

  constructor(access: Access) {
    this.#access = access;
  }

  run(exchange: Exchange): Refusal | null {
    const refusal = this.#access.check(exchange);
    const { trace } = exchange;
    if (trace !== null) {
      trace.add(this.name, refusal === null ? "passed" : "refused", this.#access.explain(exchange));
    }
    return refusal;
  }
}

export class RateLimitStep implements Step {
  readonly name = "rate_limit";
  readonly #limit: RateLimit;

  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  run(exchange: Exchange): Refusal | null | Promise<Refusal | null> {
    const { trace } = exchange;
    if (trace === null) return this.#limit.check(exchange);
    const answer = trace.dry ? this.#limit.peek(exchange) : this.#limit.check(exchange);
    if (answer instanceof Promise) return answer.then((refusal) => this.#told(exchange, refusal));
    return this.#told(exchange, answer);
  }

  #told(exchange: Exchange, refusal: Refusal | null): Refusal | null {
    if (refusal === null) exchange.trace?.add(this.name, "passed", `${exchange.clientIp} is below its limit`);
    return refusal;
  }
}
