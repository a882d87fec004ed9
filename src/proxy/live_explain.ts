/**
 * A live request with `x-dispa-explain: <admin token>` is told what was decided about it: in the field
 * `x-dispa-explanation` of its answer, as JSON, and in the program's log.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { TraceEntry } from "../http/explanation.ts";
import type { Exchange } from "./exchange.ts";

export const EXPLAIN_FIELD = "x-dispa-explain";
const EXPLANATION_FIELD = "x-dispa-explanation";

/** Bound of the field: many clients take no more than 8 kB in all. The log has the whole. */
const MAX_FIELD_BYTES = 4096;
/** Wrong tokens looked at in one period: the rest of it, nobody is believed. So none can be guessed. */
const MAX_WRONG = 10;
const PERIOD_MS = 60_000;

/** Tells the admin token from others. */
export class ExplainToken {
  readonly #digest: Uint8Array | null;
  #wrong = 0;
  #periodStartMs = 0;

  /** @param token null: nobody has one */
  constructor(token: string | null) {
    this.#digest = token === null ? null : digest(token);
  }

  /** Takes as long for a wrong token as for the right one. */
  matches(token: string): boolean {
    if (this.#digest === null) return false;
    const now = performance.now();
    if (now - this.#periodStartMs >= PERIOD_MS) {
      this.#periodStartMs = now;
      this.#wrong = 0;
    }
    if (this.#wrong >= MAX_WRONG) return false;
    if (timingSafeEqual(digest(token.trim()), this.#digest)) return true;
    this.#wrong++;
    return false;
  }
}

function digest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

/** What a traced exchange came to, with its steps. */
export function explanationOf(exchange: Exchange) {
  return {
    request_id: exchange.requestId,
    status: exchange.status,
    code: exchange.code,
    domain: exchange.domain,
    route: exchange.route?.name ?? null,
    target: exchange.targetName,
    retries: exchange.retries,
    steps: exchange.trace?.entries ?? [],
  };
}

/** Adds the field to the answer, without the steps' details where they do not fit. */
export function addExplanation(exchange: Exchange, response: Response): void {
  const whole = explanationOf(exchange);
  const brief = { ...whole, steps: whole.steps.map(withoutDetails) };
  const briefest = { ...whole, steps: [] };
  for (const explanation of [whole, brief, briefest]) {
    const text = asciiJson(explanation);
    if (text.length > MAX_FIELD_BYTES) continue;
    response.headers.set(EXPLANATION_FIELD, text);
    return;
  }
}

function withoutDetails({ step, outcome, summary }: TraceEntry): TraceEntry {
  return { step, outcome, summary };
}

/** A field's value is bytes of ASCII. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
