import assert from "node:assert/strict";
import { socketHooks } from "../../../src/websocket/runtime_hooks.ts";
import { Relay } from "../../support/websocket_relay.ts";
import { clientFrame, connected, TEXT } from "../../support/websocket_frames.ts";
import { echo, webSocketUpstream } from "../../support/websocket_upstream.ts";

Deno.test("this runtime has what is needed to hold back clients", async () => {
  const found = Promise.withResolvers<boolean>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    found.resolve(socketHooks(socket) !== null);
    socket.onopen = () => socket.close();
    return response;
  });
  using client = await connected(server.addr.port);
  assert.equal(await found.promise, true);
  assert.equal(await client.socket.said(), "close");
  await client.socket.send(clientFrame(8, ""));
  await client.socket.closed();
  await server.shutdown();
});

Deno.test("socketHooks finds nothing on a socket of another kind", () => {
  assert.equal(socketHooks({} as WebSocket), null);
});

Deno.test("a WebSocket outlives the HTTP server of its connection in an accept loop", async () => {
  await using upstream = webSocketUpstream(echo);
  await using relay = new Relay(upstream.target, { listener: "accept loop" });
  for (let i = 0; i < 20; i++) {
    using client = await connected(relay.port);
    await client.socket.send(clientFrame(TEXT, `hello ${i}`));
    assert.equal(await client.socket.said(), `text hello ${i}`);
    await client.socket.send(clientFrame(8, ""));
    assert.equal(await client.socket.said(), "close");
  }
});
