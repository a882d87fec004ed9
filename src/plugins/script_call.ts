/**
 * One call of a script: the typed messages it is handed (`examples/plugins/plugin.d.ts`), and what it did with them
 * as an answer of the protocol.
 */
import type { CallInput } from "./protocol.ts";

/** @see PluginRequest in plugin.d.ts */
export interface ScriptRequest {
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly clientIp: string;
  readonly requestId: string;
  path: string;
  readonly query: string | null;
  readonly headers: Headers;
}

/** @see PluginResponse in plugin.d.ts */
export interface ScriptResponse {
  status: number;
  readonly headers: Headers;
}

/** What a module may export. */
export interface ScriptModule {
  onRequest?: (request: ScriptRequest) => unknown;
  onResponse?: (request: ScriptRequest, response: ScriptResponse) => unknown;
}

export class ScriptCall {
  readonly #input: CallInput;
  readonly #request: ScriptRequest;
  /** Null at the request stage. */
  readonly #response: ScriptResponse | null;

  /** @param json of `requestInput` or `responseInput` */
  constructor(json: string) {
    const input: CallInput = JSON.parse(json);
    this.#input = input;
    this.#request = {
      method: input.method,
      scheme: input.scheme,
      host: input.host,
      clientIp: input.client_ip,
      requestId: input.request_id,
      path: input.path,
      query: input.query,
      headers: headersOf(input.request_headers ?? input.headers),
    };
    this.#response = input.status === undefined
      ? null
      : { status: input.status, headers: headersOf(input.headers) };
  }

  /** Calls the module's function of the stage. */
  run(module: ScriptModule): unknown {
    const response = this.#response;
    if (response === null) return module.onRequest?.(this.#request);
    return module.onResponse?.(this.#request, response);
  }

  /**
   * @param returned by the function, awaited
   * @returns JSON that `parseOutput` reads; it is what checks the values
   * @throws what reading a `Response` throws
   */
  async output(returned: unknown): Promise<string> {
    const changes = this.#changes();
    const answer = returned instanceof Response ? { short_circuit: await shortCircuit(returned) } : returned;
    if (answer === undefined || answer === null) return changes === null ? "" : JSON.stringify(changes);
    if (changes === null || typeof answer !== "object" || Array.isArray(answer)) {
      return JSON.stringify(answer) ?? `"${typeof answer}"`;
    }
    return JSON.stringify(merged(changes, answer as Record<string, unknown>));
  }

  /** What the script did to the message of the stage; null if nothing. */
  #changes(): Changes | null {
    const changes: Changes = { set_headers: Object.create(null), remove_headers: [] };
    let isChanged = false;
    const { headers } = this.#response ?? this.#request;
    for (const [name, before] of Object.entries(this.#input.headers)) {
      const now = valueOf(headers, name);
      if (now === null) changes.remove_headers.push(name);
      else if (now === before) continue;
      else changes.set_headers[name] = name === "set-cookie" ? headers.getSetCookie() : now;
      isChanged = true;
    }
    for (const name of headers.keys()) {
      if (Object.hasOwn(this.#input.headers, name) || name in changes.set_headers) continue;
      changes.set_headers[name] = name === "set-cookie" ? headers.getSetCookie() : headers.get(name) ?? "";
      isChanged = true;
    }
    if (this.#response === null && this.#request.path !== this.#input.path) {
      changes.set_path = this.#request.path;
      isChanged = true;
    }
    if (this.#response !== null && this.#response.status !== this.#input.status) {
      changes.set_status = this.#response.status;
      isChanged = true;
    }
    return isChanged ? changes : null;
  }
}

interface Changes {
  set_headers: Record<string, unknown>;
  remove_headers: string[];
  set_path?: string;
  set_status?: number;
}

function headersOf(fields: Record<string, string>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (name !== "set-cookie") headers.set(name, value);
    else for (const cookie of value.split("\n")) headers.append(name, cookie);
  }
  return headers;
}

/** In the form of the input. */
function valueOf(headers: Headers, name: string): string | null {
  if (name !== "set-cookie") return headers.get(name);
  return headers.has(name) ? headers.getSetCookie().join("\n") : null;
}

/** The returned result on top of the changes to the message. */
function merged(changes: Changes, result: Record<string, unknown>): Record<string, unknown> {
  const { set_headers, remove_headers } = result;
  return {
    ...changes,
    ...result,
    set_headers: isTable(set_headers)
      ? { ...changes.set_headers, ...set_headers }
      : set_headers ?? changes.set_headers,
    remove_headers: Array.isArray(remove_headers)
      ? [...changes.remove_headers, ...remove_headers]
      : remove_headers ?? changes.remove_headers,
  };
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function shortCircuit(response: Response): Promise<Record<string, unknown>> {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (const name of response.headers.keys()) {
    headers[name] = name === "set-cookie"
      ? response.headers.getSetCookie()
      : response.headers.get(name) ?? "";
  }
  const body = await response.bytes();
  return {
    status: response.status,
    headers,
    body_base64: body.toBase64(),
  };
}
