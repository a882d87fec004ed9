/** Proof that a proxy passes requests on and answers back whole, before anything of it is measured. */
import type { RunningPeer } from "./peer.ts";
import { ECHO_PATH, echoOf, fileContent, FILES, POST_PATH } from "./upstream.ts";

/** Size of the body in the POST scenario. */
export const POST_BYTES = 10_240;

export async function proveCorrect(peer: RunningPeer): Promise<void> {
  // Without a pool: a connection kept here would outlive the peer.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const origin = `http://127.0.0.1:${peer.port}`;
  for (const [path, bytes] of Object.entries(FILES)) {
    await expectText(client, origin + path, {}, fileContent(bytes));
  }
  const body = new Uint8Array(POST_BYTES).map((_, index) => index * 7);
  await expectText(client, origin + ECHO_PATH, { method: "POST", body }, echoOf(body));
  await expectText(client, origin + POST_PATH, { method: "POST", body }, "taken");
}

async function expectText(
  client: Deno.HttpClient,
  url: string,
  init: RequestInit,
  wanted: string,
): Promise<void> {
  const response = await fetch(url, { ...init, client, redirect: "manual" });
  const text = await response.text();
  const request = `${init.method ?? "GET"} ${new URL(url).pathname}`;
  if (response.status !== 200) {
    throw new Error(
      `${request} answered ${response.status} ${JSON.stringify(text.slice(0, 200))}, wanted is 200`,
    );
  }
  if (text !== wanted) {
    const was = `${text.length} bytes beginning ${JSON.stringify(text.slice(0, 80))}`;
    throw new Error(
      `${request} answered ${was}, wanted are ${wanted.length} beginning ${wanted.slice(0, 80)}`,
    );
  }
}
