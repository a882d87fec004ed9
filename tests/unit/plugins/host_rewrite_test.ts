import assert from "node:assert/strict";
import { fieldValues } from "../../../src/http/flat_headers.ts";
import { requestMessage } from "../../support/messages.ts";
import { now, onePlugin } from "./support.ts";

/** The Host that is sent upstream for a client's. */
async function rewriter(config: string): Promise<(host: string) => string> {
  const { requestChain, responseChain } = await onePlugin("hostrewrite", config);
  assert.equal(responseChain, null);
  return (host) => {
    const request = requestMessage({ host, headers: ["host", `${host}:81`, "x-forwarded-host", host] });
    assert.equal(now(requestChain!.runRequest(request)), null);
    assert.equal(request.host, host, "what the client asked for stays known");
    assert.deepEqual(fieldValues(request.headers, "x-forwarded-host"), [host]);
    const [sent, ...more] = fieldValues(request.headers, "host");
    assert.deepEqual(more, []);
    return sent;
  };
}

Deno.test("hostrewrite sends its host to the upstream, with the port that it names", async () => {
  const sent = await rewriter('{ host = "App.Internal:8443" }');
  assert.equal(sent("example.com"), "app.internal:8443");
  assert.equal(sent("[::1]"), "app.internal:8443");
});

Deno.test("hostrewrite with `from` leaves other hosts as they are", async () => {
  const exact = await rewriter('{ from = "old.de", to = "new.de" }');
  assert.deepEqual(["old.de", "x.old.de", "older.de"].map(exact), ["new.de", "x.old.de:81", "older.de:81"]);
  const subdomains = await rewriter('{ from = "*.old.de", host = "[::1]" }');
  assert.deepEqual(["old.de", "a.b.old.de"].map(subdomains), ["old.de:81", "[::1]"]);
});
