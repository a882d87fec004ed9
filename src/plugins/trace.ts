/** What `explain` is told of a plugin chain: each plugin that was called, and what came of it. */
import { fieldValues, type FlatHeaders } from "../http/flat_headers.ts";
import type { LocalAnswer, RequestMessage, ResponseMessage } from "../http/message.ts";
import type { Refusal } from "../http/refusal.ts";
import type { PluginErrorKind, Stage } from "./plugin.ts";

/** Watches one run of a chain. */
export interface PluginTrace {
  /**
   * True: no request is really served. `Plugin.explain` is called where there is one, nothing is counted or
   * logged. False: the chain does what it always does.
   */
  readonly dryRun: boolean;
  /** Called for each plugin, in the order they run, when it is done. */
  plugin(report: PluginReport): void;
}

export interface PluginReport {
  /** Name of the plugin in the configuration. */
  name: string;
  type: string;
  stage: Stage;
  /** Empty where it changed nothing. */
  changes: MessageChange[];
  /** What ended the chain, a failure under `error_strategy = "fail"` included; else null. */
  result: LocalAnswer | Refusal | null;
  /** What the plugin would do, told in words instead of done; else null. */
  text: string | null;
  /** Why the call failed; else null. */
  error: { kind: PluginErrorKind; message: string } | null;
}

/** `before` and `after` of a header are all its values; none: it was or is not there. */
export type MessageChange =
  | { what: "target"; before: string; after: string }
  | { what: "status"; before: number; after: number }
  | { what: "header"; name: string; before: string[]; after: string[] };

/** A message as it was before a call. */
export class Saved {
  readonly #headers: FlatHeaders;
  readonly #copy: FlatHeaders;
  readonly #target: string;
  readonly #status: number;

  /** @param response null at the request stage; else it is the answer that is saved, not the request */
  constructor(private readonly request: RequestMessage, private readonly response: ResponseMessage | null) {
    this.#headers = (response ?? request).headers;
    this.#copy = this.#headers.slice();
    this.#target = request.target;
    this.#status = response?.status ?? 0;
  }

  /** Undoes every change of headers, target and status since. */
  restore(): void {
    const { request, response } = this;
    // The list is the message's own and stays; only what is in it goes.
    const headers = this.#headers;
    headers.length = 0;
    for (let i = 0; i < this.#copy.length; i++) headers.push(this.#copy[i]);
    if (response !== null) {
      response.headers = headers;
      response.status = this.#status;
    }
    if (request.target !== this.#target) request.target = this.#target;
  }

  /** What has changed since. */
  changes(): MessageChange[] {
    const { request, response } = this;
    const found: MessageChange[] = [];
    if (request.target !== this.#target) {
      found.push({ what: "target", before: this.#target, after: request.target });
    }
    if (response !== null && response.status !== this.#status) {
      found.push({ what: "status", before: this.#status, after: response.status });
    }
    const { headers } = response ?? request;
    const names = new Set([...this.#copy, ...headers].filter((_, index) => index % 2 === 0));
    for (const name of names) {
      const before = fieldValues(this.#copy, name);
      const after = fieldValues(headers, name);
      if (before.join("\n") !== after.join("\n") || before.length !== after.length) {
        found.push({ what: "header", name, before, after });
      }
    }
    return found;
  }
}
