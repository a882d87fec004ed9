/** One health check of one target: which path to ask for, and what the answer means. */
import type { TargetConfig } from "../config/model.ts";
import { isShortage } from "../upstream/shortage.ts";
import type { CheckResult } from "./target_health.ts";

/** Where services commonly tell their health, in this order. */
const USUAL_PATHS = ["/health", "/healthz", "/ping", "/"];

/** A declared body up to this size is read, so that the target does not see its answer broken off. */
const MAX_READ_BODY_BYTES = 64 * 1024;

/** Sends a GET and gives the answer as it is: no redirect followed, no cache. */
export type ProbeFetch = (url: string, signal: AbortSignal) => Promise<Response>;

export class Probe {
  readonly #base: string;
  readonly #basePath: string;
  readonly #path: string | null;
  readonly #fetch: ProbeFetch;
  /** The usual path that answered last. */
  #found: string | null = null;

  /** @param path with a leading slash; null: the usual ones in turn, 404 meaning "try the next" */
  constructor(target: TargetConfig, path: string | null, fetch: ProbeFetch) {
    this.#base = new URL(target.url).origin;
    this.#basePath = target.basePath;
    this.#path = path;
    this.#fetch = fetch;
  }

  /** 2xx and 3xx are healthy. Does not throw: whatever goes wrong is the result, an abort's reason too. */
  async check(signal: AbortSignal): Promise<CheckResult> {
    try {
      if (this.#path !== null) return this.#judge(this.#path, await this.#status(this.#path, signal));
      return await this.#checkUsualPaths(signal);
    } catch (error) {
      const detail = describeFailure(error);
      return isShortage(error) ? { ok: false, detail, inconclusive: true } : { ok: false, detail };
    }
  }

  async #checkUsualPaths(signal: AbortSignal): Promise<CheckResult> {
    const asked = this.#found;
    if (asked !== null) {
      const status = await this.#status(asked, signal);
      if (status !== 404) return this.#judge(asked, status);
      this.#found = null;
    }
    for (const path of USUAL_PATHS) {
      if (path === asked) continue;
      const status = await this.#status(path, signal);
      if (status === 404) continue;
      this.#found = path;
      return this.#judge(path, status);
    }
    const paths = USUAL_PATHS.map((path) => this.#basePath + path).join(", ");
    return { ok: false, detail: `status 404 from ${paths}: set path in [targets.health_check]` };
  }

  #judge(path: string, status: number): CheckResult {
    return { ok: status >= 200 && status < 400, detail: `status ${status} from ${this.#basePath}${path}` };
  }

  async #status(path: string, signal: AbortSignal): Promise<number> {
    const response = await this.#fetch(this.#base + this.#basePath + path, signal);
    await discardBody(response);
    return response.status;
  }
}

async function discardBody({ headers, body }: Response): Promise<void> {
  if (body === null) return;
  const lengthBytes = Number(headers.get("content-length") ?? Infinity);
  // A coded body may grow without bounds when fetch decodes it.
  const small = lengthBytes <= MAX_READ_BODY_BYTES && !headers.has("content-encoding");
  if (small) await body.pipeTo(new WritableStream());
  else await body.cancel();
}

/**
 * Says in a few words why a request failed. fetch says it at the end of a sentence that repeats the url:
 * `error sending request for url (http://…): client error (Connect): tcp connect error: Connection refused
 * (os error 111)`, in the error itself (Deno 2.6) or in its cause (2.9).
 */
export function describeFailure(error: unknown): string {
  const message = messageOf(error instanceof Error && error.cause ? error.cause : error);
  const [, stage, cause] = /client error \((\w+)\): (.*)$/s.exec(message) ?? [];
  if (cause === undefined) return message;
  const reason = cause.replace(/ \(os error \d+\)$/, "");
  if (stage !== "Connect") return reason;
  if (reason.startsWith("tcp connect error: ")) {
    return reason.slice("tcp connect error: ".length).replace(
      /^[A-Z](?=[a-z])/,
      (letter) => letter.toLowerCase(),
    );
  }
  // What is left of connecting once the name is resolved and the socket open.
  return reason.startsWith("dns error: ") ? reason : `TLS error: ${reason}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
