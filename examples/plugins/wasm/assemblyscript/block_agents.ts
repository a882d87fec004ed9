// AssemblyScript (not TypeScript): answers requests of unwanted programs with 403, told by their user-agent, and
// takes `server` out of every answer. Built by `deno task plugin-examples` into ../block_agents.wasm.

const UNWANTED: string[] = ["badbot", "scrapy"];

const FORBIDDEN =
  '{"short_circuit":{"status":403,"headers":{"x-blocked-by":"block_agents"},"body":"This program is not welcome"}}';
const HIDE_SERVER = '{"remove_headers":["server"]}';

let resultLength: i32 = 0;

export function alloc(length: i32): usize {
  return heap.alloc(length);
}

export function dealloc(at: usize, _length: i32): void {
  heap.free(at);
}

export function dispa_get_result_len(): i32 {
  return resultLength;
}

export function dispa_on_request(at: usize, length: i32): usize {
  const agent = textOf(String.UTF8.decodeUnsafe(at, length), "user-agent").toLowerCase();
  for (let i = 0; i < UNWANTED.length; i++) {
    if (agent.includes(UNWANTED[i])) return result(FORBIDDEN);
  }
  return result("");
}

export function dispa_on_response(_at: usize, _length: i32): usize {
  return result(HIDE_SERVER);
}

/**
 * The text under a key of the input, "" if there is none. Enough for a header: inside JSON a value cannot hold
 * `"key":"`, because its quotation marks are escaped.
 */
function textOf(json: string, key: string): string {
  const start = json.indexOf(`"${key}":"`);
  if (start == -1) return "";
  const from = start + key.length + 4;
  let end = from;
  while (end < json.length && json.charCodeAt(end) != 0x22) end += json.charCodeAt(end) == 0x5c ? 2 : 1;
  return json.slice(from, end);
}

/** Puts the result where Dispa reads it and then gives it back by `dealloc`. */
function result(json: string): usize {
  const bytes = String.UTF8.encode(json);
  resultLength = bytes.byteLength;
  if (resultLength == 0) return 0;
  const at = heap.alloc(resultLength);
  memory.copy(at, changetype<usize>(bytes), resultLength);
  return at;
}
