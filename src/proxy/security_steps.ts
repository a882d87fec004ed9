/** The steps of `security/` as parts of a request's way. */
import type { DdosConfig } from "../config/model.ts";
import type { Refusal } from "../http/refusal.ts";
import type { AccessStep as Access } from "../security/access.ts";
import type { AuthStep } from "../security/auth.ts";
import type { RateLimitStep as RateLimit } from "../security/rate_limit.ts";
import { bodyGuard, type RequestLimit, requestLimits } from "../security/request_limits.ts";
import type { Exchange } from "./exchange.ts";
import type { Step } from "./steps.ts";

/** How large a header may be, and how a body may come. */
export class LimitsStep implements Step {
  readonly name = "limits";
  readonly #ddos: DdosConfig;
  readonly #limit: RequestLimit;

  constructor(ddos: DdosConfig) {
    this.#ddos = ddos;
    this.#limit = requestLimits(ddos);
  }

  run(exchange: Exchange): Refusal | null {
    const { hasBody } = exchange;
    const { fieldCount, fieldBytes, contentLength } = exchange.fields;
    const refusal = this.#limit({ fieldCount, fieldBytes, contentLength, hasBody });
    if (refusal === null && hasBody) exchange.guard = bodyGuard(this.#ddos);
    return refusal;
  }
}

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

/** Who may come in, by key or token. */
export class AuthenticationStep implements Step {
  readonly name = "auth";
  readonly #auth: AuthStep;

  constructor(auth: AuthStep) {
    this.#auth = auth;
  }

  run(exchange: Exchange): Refusal | null | Promise<Refusal | null> {
    const { trace } = exchange;
    if (trace === null) return this.#auth.check(exchange);
    return this.#auth.check(exchange, (summary, details) => trace.add(this.name, "passed", summary, details));
  }
}
