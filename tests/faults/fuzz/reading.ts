/**
 * A second reading of what a client sent (RFC 9112), written for clearness and independent of the program: the
 * requests that it may take the bytes for. It is as lenient as a recipient may be and no more; what goes on
 * behind bytes that have no single meaning is no request.
 */

/** A request with a single meaning. */
export interface Meaning {
  method: string;
  /** Origin-form. */
  target: string;
  host: string;
  body: string;
  /** Fields that are for the target, names in lower case, of each name the values in their order. */
  fields: Map<string, string>;
  /** It can be told where it ends, but not whom it is for: nobody may get it. */
  isForNobody: boolean;
}

export interface Reading {
  requests: Meaning[];
  /** Whether the bytes may end in a request that goes on. */
  isOpen: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
/** Without an authority it is none; the runtime takes it for a path then (`/http:///x`), as every rule does. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)(.*)$/i;

/** Of one hop, or written anew by every proxy. */
const NOT_PASSED_ON = new Set([
  ..."connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split(" "),
  ..."expect host content-length forwarded x-request-id".split(" "),
]);

/** Whether a field may differ between what the client sent and what the target sees. */
export function isOfOneHop(name: string): boolean {
  return NOT_PASSED_ON.has(name) || name.startsWith("x-forwarded-");
}

export function read(text: string): Reading {
  const requests: Meaning[] = [];
  let at = 0;
  for (;;) {
    // RFC 9112 section 2.2: empty lines before a request line are to be ignored.
    while (text[at] === "\n" || text.startsWith("\r\n", at)) at = text.indexOf("\n", at) + 1;
    if (at >= text.length) return { requests, isOpen: true };
    const next = readRequest(text, at);
    if (next === "open") return { requests, isOpen: true };
    if (next === "nonsense") return { requests, isOpen: false };
    requests.push(next.request);
    at = next.end;
    if (next.isLast) return { requests, isOpen: false };
  }
}

interface OneRequest {
  request: Meaning;
  end: number;
  /** The connection ends behind it. */
  isLast: boolean;
}

function readRequest(text: string, start: number): OneRequest | "open" | "nonsense" {
  const blank = /\r?\n\r?\n/g;
  blank.lastIndex = start;
  const end = blank.exec(text);
  const [first, ...rest] = text.slice(start, end?.index).split(/\r?\n/);
  const requestLine = REQUEST_LINE.exec(first);
  if (end === null) return "open";
  if (requestLine === null) return "nonsense";
  const [, method, rawTarget, minor] = requestLine;
  const all: [string, string][] = [];
  for (const line of rest) {
    const field = FIELD.exec(line);
    if (field === null) return "nonsense";
    all.push([field[1].toLowerCase(), field[2]]);
  }
  const valuesOf = (name: string) => all.filter(([own]) => own === name).map(([, value]) => value);

  const hosts = valuesOf("host");
  const absolute = ABSOLUTE.exec(rawTarget);
  // RFC 9112 section 3.2 wants a Host beside an absolute-form target too, but without one nothing is in doubt.
  const host: string | undefined = absolute === null ? hosts[0] : absolute[1];
  let target = absolute === null ? rawTarget : absolute[2];
  // A fragment has no place in a target: it is refused, or cut off by the runtime (Deno 2.6).
  target = target.split("#", 1)[0];
  if (!target.startsWith("/")) target = `/${target}`;

  const body = readBody(
    text,
    end.index + end[0].length,
    valuesOf("content-length"),
    valuesOf("transfer-encoding"),
  );
  if (typeof body === "string") return body;
  if (minor === "0" && valuesOf("transfer-encoding").length > 0) return "nonsense";

  const options = valuesOf("connection").join(",").toLowerCase().split(",").map((option) => option.trim());
  const fields = new Map<string, string>();
  for (const [name, value] of all) {
    if (isOfOneHop(name)) continue;
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}${name === "cookie" ? "; " : ", "}${value}`);
  }
  for (const option of options) if (TOKEN.test(option) && option !== "cookie") fields.delete(option);
  return {
    request: {
      method,
      target,
      host: host ?? "",
      body: body.content,
      fields,
      isForNobody: hosts.length > 1 || host === undefined,
    },
    end: body.end,
    // Which of the two counts where both are there is nobody's matter but the connection's.
    isLast: !options.includes("keep-alive") && (options.includes("close") || minor === "0"),
  };
}

function readBody(
  text: string,
  start: number,
  lengths: string[],
  codings: string[],
): { content: string; end: number } | "open" | "nonsense" {
  if (codings.length > 0) {
    return codings.length === 1 && codings[0].toLowerCase() === "chunked"
      ? readChunks(text, start)
      : "nonsense";
  }
  if (lengths.length === 0) return { content: "", end: start };
  const values = new Set(lengths.join(",").split(",").map((value) => value.trim()));
  const [value] = values;
  if (values.size > 1 || !/^\d+$/.test(value)) return "nonsense";
  const end = start + Number(value);
  return end > text.length ? "open" : { content: text.slice(start, end), end };
}

function readChunks(text: string, start: number): { content: string; end: number } | "open" | "nonsense" {
  // The runtime takes a space before the size. Nobody behind us sees it: chunks are written anew.
  const sizeLine = / *([0-9a-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n/iy;
  let content = "";
  for (let at = start;;) {
    sizeLine.lastIndex = at;
    const size = sizeLine.exec(text);
    if (size === null) return /[\r\n]/.test(text.slice(at)) ? "nonsense" : "open";
    at += size[0].length;
    const length = parseInt(size[1], 16);
    if (length === 0) {
      for (;;) {
        const lineEnd = text.indexOf("\n", at);
        if (lineEnd === -1) return "open";
        const line = text.slice(at, lineEnd).replace(/\r$/, "");
        at = lineEnd + 1;
        if (line === "") return { content, end: at };
        if (!line.includes(":")) return "nonsense";
      }
    }
    content += text.slice(at, at + length);
    at += length;
    if (at + 2 > text.length) return "open";
    if (!text.startsWith("\r\n", at)) return "nonsense";
    at += 2;
  }
}
