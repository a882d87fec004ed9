/** An upstream that agrees to every WebSocket and then speaks frames, as well or as badly as a test wants. */
import { acceptFor } from "../../src/websocket/handshake.ts";
import { ScriptedUpstream, type UpstreamSide } from "./scripted_upstream.ts";
import { CLOSE, frame, PING, RawSocket } from "./websocket_frames.ts";

/** The 101 that answers a request's head. */
export async function switching(head: string, fields = ""): Promise<string> {
  const key = /sec-websocket-key: (.*)\r\n/i.exec(head)![1];
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${await acceptFor(key)}\r\n${fields}\r\n`;
}

/** Runs `script` for each connection after its handshake; the connection is closed when it returns. */
export function webSocketUpstream(
  script: (socket: RawSocket, side: UpstreamSide) => Promise<void>,
  fields = "",
): ScriptedUpstream {
  return new ScriptedUpstream(async (side) => {
    const head = await side.readHead();
    if (head === null) return;
    await side.send(await switching(head, fields));
    await script(new RawSocket(side.conn), side);
  });
}

/** Answers each message with itself and a Close frame with its copy. */
export async function echo(socket: RawSocket): Promise<void> {
  for (let next = await socket.frame(); next !== null; next = await socket.frame()) {
    if (next.opcode === PING) continue;
    await socket.send(frame(next.opcode, next.payload));
    if (next.opcode === CLOSE) return;
  }
}
