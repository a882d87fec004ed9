/** Answers that are not 2xx. */
import type { ConfigProblem, Failure, FailureCode } from "./api.ts";

const STATUS = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  cross_site: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  stale: 412,
  too_large: 413,
  invalid_config: 422,
  too_many_attempts: 429,
  too_many_listeners: 429,
  internal: 500,
  unavailable: 503,
} as const satisfies Record<FailureCode, number>;

/** Thrown by a route; `admin_app.ts` makes the answer of it. */
export class AdminFailure extends Error {
  override name = "AdminFailure";
  readonly code: FailureCode;
  readonly problems: ConfigProblem[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    code: FailureCode,
    message: string,
    more: { problems?: ConfigProblem[]; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.code = code;
    this.problems = more.problems;
    this.headers = more.headers ?? {};
  }

  get status(): typeof STATUS[FailureCode] {
    return STATUS[this.code];
  }

  get body(): Failure {
    const { code, message, problems } = this;
    return { error: { code, message, ...(problems === undefined ? {} : { problems }) } };
  }
}
