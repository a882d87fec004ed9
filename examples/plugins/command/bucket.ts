/**
 * Gives every request a number from 0 to 99 that stays the same for a client, in x-bucket. Kept running, one line of
 * JSON in and one out for each request:
 *
 *     [[plugins.plugins]]
 *     name = "bucket"
 *     type = "command"
 *
 *     [plugins.plugins.config]
 *     exec = "/usr/bin/deno"
 *     args = ["run", "--no-config", "examples/plugins/command/bucket.ts"]
 *     mode = "persistent"
 */

/** The part of the input that this program needs. */
interface Input {
  stage: "request" | "response";
  client_ip: string;
}

function answer({ stage, client_ip }: Input): unknown {
  return stage === "request" ? { set_headers: { "x-bucket": String(bucketOf(client_ip)) } } : {};
}

/** FNV-1a, 32 bits. */
function bucketOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % 100;
}

const encoder = new TextEncoder();
const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
let rest = "";
for await (const text of lines) {
  rest += text;
  for (let end = rest.indexOf("\n"); end !== -1; end = rest.indexOf("\n")) {
    const input: Input = JSON.parse(rest.slice(0, end));
    rest = rest.slice(end + 1);
    // Nothing else may be written to stdout: every line of it is an answer.
    const line = encoder.encode(`${JSON.stringify(answer(input))}\n`);
    for (let at = 0; at < line.length;) at += Deno.stdout.writeSync(line.subarray(at));
  }
}
