/** A WebSocket server made with the `ws` library, whose paths each behave in one way. */
import type { IncomingMessage } from "node:http";
// @ts-types="@types/ws"
import { type WebSocket, WebSocketServer } from "ws";

/** What the server saw of each connection, in the order in which they began. */
export type ServerNotes = string[][];

export class WsServer implements AsyncDisposable {
  readonly notes: ServerNotes = [];
  #server!: WebSocketServer;
  /** Connections that have not told of their close yet. */
  #open = 0;
  #onIdle: (() => void)[] = [];

  static async start(): Promise<WsServer> {
    const server = new WsServer();
    server.#server = new WebSocketServer({
      host: "127.0.0.1",
      port: 0,
      maxPayload: 64 * 1024 * 1024,
      handleProtocols: (offered) => offered.has("b") ? "b" : false,
      verifyClient: ({ req }, answer) => {
        if (req.url === "/login") answer(false, 302, "Found", { location: "/elsewhere" });
        else if (req.url === "/secret") answer(false, 401, "who are you?", { "www-authenticate": "Basic" });
        else answer(true);
      },
    });
    server.#server.on("headers", (headers, request) => {
      if (request.url === "/cookies") headers.push("Set-Cookie: a=1", "Set-Cookie: b=2", "X-Extra: y");
    });
    server.#server.on("connection", (socket, request) => server.#serve(socket, request));
    await new Promise<void>((resolve) => server.#server.once("listening", resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** Resolves when every connection so far has closed. */
  idle(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #serve(socket: WebSocket, request: IncomingMessage): void {
    const notes: string[] = [];
    this.notes.push(notes);
    this.#open++;
    socket.on("error", (error) => notes.push(`error ${(error as { code?: string }).code}`));
    socket.on("pong", (data) => notes.push(`pong ${data}`));
    socket.on("close", (code, reason) => {
      notes.push(`closed ${code} ${reason}`.trimEnd());
      if (--this.#open > 0) return;
      for (const resolve of this.#onIdle) resolve();
      this.#onIdle = [];
    });
    behave(socket, request, notes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function behave(socket: WebSocket, request: IncomingMessage, notes: string[]): void {
  const { pathname, searchParams } = new URL(request.url!, "http://x");
  switch (pathname) {
    case "/echo":
      socket.on("message", (data, isBinary) => socket.send(data as ArrayBuffer, { binary: isBinary }));
      return;
    case "/count":
      socket.on("message", (data, isBinary) => {
        notes.push(`${isBinary ? "binary" : "text"} ${(data as Uint8Array).length}`);
      });
      return;
    case "/headers": {
      const { cookie, origin, host, "x-custom": custom } = request.headers;
      socket.send(JSON.stringify({ url: request.url, cookie, origin, host, custom }));
      return;
    }
    case "/fragments":
      socket.send("one ", { fin: false });
      socket.ping("between");
      socket.send("two ", { fin: false });
      socket.send("three", { fin: true });
      return;
    case "/greet":
      for (let i = 0; i < 200; i++) socket.send(`greeting ${i}`);
      socket.close(4000, "that was all");
      return;
    case "/close": {
      const code = searchParams.get("code");
      if (code === null) socket.close();
      else socket.close(Number(code), searchParams.get("reason") ?? "");
      return;
    }
    case "/strict":
      // Stands for a server with a limit of its own.
      socket.on("message", (data) => {
        if ((data as Uint8Array).length > 1000) socket.close(1009, "too big for me");
      });
      return;
    case "/terminate":
      socket.terminate();
      return;
    case "/ping":
      socket.ping("are you there");
      return;
  }
}
