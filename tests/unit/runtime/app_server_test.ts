import assert from "node:assert/strict";
import { serveConnection } from "../../../src/proxy/http_runtime.ts";
import { AppServer } from "../../../src/runtime/app_server.ts";
import { freePort } from "../../support/ports.ts";

for (
  const [how, serve] of [["an accept loop of its own", serveConnection()], ["Deno.serve", null]] as const
) {
  Deno.test(`AppServer with ${how} tells who asks, and lets an answer in flight end when it is closed`, async () => {
    const address = { hostname: "127.0.0.1", port: freePort() };
    const arrived = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const app = {
      async fetch(_request: Request, { info }: { info: { remoteAddr: Deno.NetAddr } }) {
        arrived.resolve();
        await answer.promise;
        return new Response(`for ${info.remoteAddr.hostname}`);
      },
    };
    const server = new AppServer(address, app, () => {}, serve);
    const client = Deno.createHttpClient({});
    try {
      const asked = fetch(`http://127.0.0.1:${address.port}/`, { client });
      await arrived.promise;
      const closed = server.close(10_000);
      answer.resolve();
      assert.equal(await (await asked).text(), "for 127.0.0.1");
      await closed;
      await assert.rejects(Deno.connect(address), Deno.errors.ConnectionRefused);
    } finally {
      client.close();
    }
  });
}

Deno.test("AppServer waits for answers no longer than it is told to", async () => {
  const address = { hostname: "127.0.0.1", port: freePort() };
  const arrived = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  const app = {
    fetch() {
      arrived.resolve();
      return answer.promise;
    },
  };
  const server = new AppServer(address, app, () => {});
  const client = Deno.createHttpClient({});
  try {
    const asked = fetch(`http://127.0.0.1:${address.port}/`, { client });
    await arrived.promise;
    await server.close(1);
    answer.resolve(new Response("late"));
    assert.equal(await (await asked).text(), "late");
  } finally {
    client.close();
  }
});
