/** What the body of a refusal looks like: a page of the operator's, problem details (RFC 9457), or a line of text. */
import type { ErrorPageConfig, ErrorPagesConfig } from "../config/model.ts";
import { prefersJson } from "../http/accept.ts";
import { ERROR_STATUS, type ErrorCode } from "../http/refusal.ts";

export interface RefusalText {
  readonly code: ErrorCode;
  readonly message: string;
  readonly requestId: string;
}

export interface RefusalBody {
  readonly contentType: string;
  readonly text: string;
}

const PLACEHOLDER = /\{(code|status|title|message|request_id)\}/g;

/** Reason phrases of the statuses that refusals have (RFC 9110 section 15; 429 and 431: RFC 6585). */
const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  411: "Length Required",
  413: "Content Too Large",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Reason phrase of a status, or of its class. */
export function titleOf(status: number): string {
  return TITLES[status] ?? (status < 500 ? "Client Error" : "Server Error");
}

export class ErrorPages {
  readonly #problemJson: boolean;
  readonly #pages = new Map<number | string, Page>();

  constructor({ problemJson, pages }: ErrorPagesConfig) {
    this.#problemJson = problemJson;
    for (const config of pages) {
      const page = new Page(config);
      for (const status of config.statuses) this.#pages.set(status, page);
    }
  }

  /** @param accept of the request; null: it has none */
  bodyOf(refusal: RefusalText, accept: string | null): RefusalBody {
    const status = ERROR_STATUS[refusal.code];
    const page = this.#pages.get(status) ?? this.#pages.get(`${Math.floor(status / 100)}xx`);
    if (this.#problemJson && !page?.isJson && accept !== null && prefersJson(accept)) {
      return problemDetails(status, refusal);
    }
    if (page === undefined) return { contentType: PLAIN, text: `${refusal.message}\n` };
    return { contentType: page.contentType, text: page.fill(status, refusal) };
  }
}

const PLAIN = "text/plain; charset=utf-8";

/** RFC 9457 section 3, without a `type`, which says that the status tells what kind of problem it is. */
function problemDetails(status: number, { code, message, requestId }: RefusalText): RefusalBody {
  const problem = { title: titleOf(status), status, detail: message, code, request_id: requestId };
  return { contentType: "application/problem+json", text: `${JSON.stringify(problem)}\n` };
}

/** One page, taken apart at its placeholders. */
class Page {
  readonly contentType: string;
  readonly isJson: boolean;
  readonly #escape: (text: string) => string;
  /** Text and names of placeholders in turn. */
  readonly #parts: readonly string[];

  constructor({ text, contentType }: ErrorPageConfig) {
    const type = contentType.split(";", 1)[0].trim().toLowerCase();
    this.contentType = contentType;
    this.isJson = type === "application/json" || type.endsWith("+json");
    this.#escape = this.isJson
      ? escapeJson
      : type === "text/html" || type.endsWith("xml")
      ? escapeMarkup
      : (plain) => plain;
    this.#parts = text.split(PLACEHOLDER);
  }

  fill(status: number, { code, message, requestId }: RefusalText): string {
    const values: Readonly<Record<string, string>> = {
      code,
      status: String(status),
      title: titleOf(status),
      message,
      request_id: requestId,
    };
    return this.#parts.map((part, index) => index % 2 === 0 ? part : this.#escape(values[part])).join("");
  }
}

/** For text and for values of attributes in quotes. A message can hold what a client has sent. */
function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** For the inside of a JSON string. */
function escapeJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
