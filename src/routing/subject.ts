/** A request as conditions look at it; what takes work to read is read once, and only if a rule asks for it. */
import type { RequestMessage } from "../http/message.ts";

export class Subject {
  #parameters: ReadonlyMap<string, readonly string[]> | null = null;

  constructor(readonly request: RequestMessage) {}

  /** Values of a query parameter, decoded, in order; undefined where it is not there. */
  parameters(name: string): readonly string[] | undefined {
    return (this.#parameters ??= readParameters(this.request.query)).get(name);
  }
}

function readParameters(query: string | null): ReadonlyMap<string, readonly string[]> {
  const parameters = new Map<string, string[]>();
  if (query === null) return parameters;
  // Bytes beyond ASCII stand one to a character, where URLSearchParams wants characters.
  const ascii = query.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  for (const [name, value] of new URLSearchParams(ascii)) {
    const values = parameters.get(name);
    if (values === undefined) parameters.set(name, [value]);
    else values.push(value);
  }
  return parameters;
}
