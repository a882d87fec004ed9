/** The answers that rules give themselves. */
import type { CustomResponse, RedirectConfig } from "../config/model.ts";
import { addField, getField } from "../http/flat_headers.ts";
import type { LocalAnswer, RequestMessage } from "../http/message.ts";
import { encodePath } from "../http/path.ts";
import type { PathRewrite } from "./path_rewrite.ts";

export type Answer = (request: RequestMessage) => LocalAnswer;

export function compileCustomResponse(response: CustomResponse): Answer {
  const { status, body, contentType } = response;
  const headers = response.headers.flatMap(({ name, value }) => [name, value]);
  if (body !== "" && getField(headers, "content-type") === null) {
    addField(headers, "content-type", contentType);
  }
  // Later steps change an answer's fields in place.
  return () => ({ status, headers: [...headers], body: body === "" ? null : body });
}

export function compileRedirect({ to, status }: RedirectConfig, rewrite: PathRewrite | null): Answer {
  const parts = to.split(/\{(\w+)\}/);
  return (request) => {
    const location = parts.map((part, index) => index % 2 === 0 ? part : filledIn(part, request, rewrite))
      .join("");
    return { status, headers: ["location", location], body: null };
  };
}

/** The path is taken in its matching form: as the client wrote it, `//host` would lead to another host. */
function filledIn(placeholder: string, request: RequestMessage, rewrite: PathRewrite | null): string {
  switch (placeholder) {
    case "scheme":
      return request.scheme;
    case "host":
      return request.host;
    case "path":
      return encodePath(rewrite === null ? request.path : rewrite(request.path));
    case "query":
      return request.query === null ? "" : `?${request.query}`;
    default:
      throw new TypeError(`found placeholder {${placeholder}}, wanted {scheme}, {host}, {path} or {query}`);
  }
}
