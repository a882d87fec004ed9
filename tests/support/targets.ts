/** Configurations over several upstreams, for tests of what becomes of a request when one of them fails. */
import type { Dispa } from "./dispa.ts";
import { RawClient, RawUpstream } from "./upstream.ts";

/** An upstream that was there and is not any more: its port refuses connections. */
export async function goneUpstream(): Promise<RawUpstream> {
  const gone = new RawUpstream(() => "");
  await gone[Symbol.asyncDispose]();
  return gone;
}

export interface TargetsOptions {
  /** Further lines of each target, by its index. */
  each?: string[];
  /** Further tables, `[retry]` and the like; stands before the targets. */
  more?: string;
  /** Whether to check the targets' health. Default false. */
  checks?: string;
}

/** Targets `t0`, `t1` … for the host example.com, in turn. */
export function targetsToml(
  upstreams: readonly { url: string }[],
  { each = [], more = "", checks = "enabled = false" }: TargetsOptions = {},
): string {
  const list = upstreams.map(({ url }, i) =>
    `[[targets.targets]]\nname = "t${i}"\nurl = "${url}"\n${each[i] ?? ""}\n`
  );
  return `
[domains]
intercept_domains = ["example.com"]
${more}
[targets.health_check]
${checks}
${list.join("")}`;
}

/** An answer with a status of its own. */
export function answer(status: number, body: string): string {
  return `HTTP/1.1 ${status} Answer\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

/** Sends a request as it stands, to example.com, and reads the whole answer. */
export async function rawExchange(
  dispa: Dispa,
  { method = "GET", path = "/", fields = "", body = "" },
): Promise<{ status: number; code: string | null; head: string; body: string }> {
  using client = await RawClient.connect(dispa.port);
  await client.send(
    `${method} ${path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n${fields}\r\n${body}`,
  );
  const received = await client.readToEnd();
  const end = received.indexOf("\r\n\r\n");
  const head = received.slice(0, end);
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
    code: /^x-dispa-error: (.*)$/im.exec(head)?.[1] ?? null,
    head,
    body: received.slice(end + 4),
  };
}

/** A body in chunks (RFC 9112 section 7.1), each of at most `size` characters. */
export function chunked(body: string, size: number): string {
  let text = "";
  for (let at = 0; at < body.length; at += size) {
    const part = body.slice(at, at + size);
    text += `${part.length.toString(16)}\r\n${part}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}
