/** Header values that plugins write: fixed ones, and ones that hold a fresh id. */
import type { RequestMessage } from "../http/message.ts";

/** Gives the value for one request. */
export type HeaderValue = (request: RequestMessage) => string;

const UUID_FORM = "{{uuid}}";

/**
 * @param name of the field, in lower case
 * @param text `generated`: the request's id for `x-request-id`, so that record, answer and upstream have the same,
 *   for other fields a new UUID. `{{uuid}}`, anywhere and any number of times: a new UUID each. All else as it is.
 */
export function headerValue(name: string, text: string): HeaderValue {
  if (text === "generated") {
    return name === "x-request-id" ? (request) => request.requestId : () => crypto.randomUUID();
  }
  if (!text.includes(UUID_FORM)) return () => text;
  const parts = text.split(UUID_FORM);
  return () => {
    let value = parts[0];
    for (let i = 1; i < parts.length; i++) value += crypto.randomUUID() + parts[i];
    return value;
  };
}
