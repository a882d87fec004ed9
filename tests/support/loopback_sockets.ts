/**
 * Thousands of client sockets from addresses of one's own choice in 127.0.0.0/8, which the runtime has no way
 * to open: the system's own calls (Linux), none of which waits but `connect`.
 */

const AF_INET = 2, SOCK_STREAM = 1, MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000, POLLRDHUP = 0x2000;

const CALLS = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const;

/** Files that this process may have open, which those it starts inherit. */
export function openFilesLimit(): number {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1]);
}

/** The address number `index` of 127.`block`.0.0/16. */
export function loopbackAddress(block: number, index: number): string {
  return `127.${block}.${index >> 8 & 255}.${index & 255}`;
}

export class LoopbackSockets implements Disposable {
  readonly #libc = Deno.dlopen("libc.so.6", CALLS);
  readonly #open = new Set<number>();

  /** A connection to a port of 127.0.0.1. @returns its number */
  connect(from: string, port: number): number {
    const { socket, bind, connect } = this.#libc.symbols;
    const handle = socket(AF_INET, SOCK_STREAM, 0);
    if (handle === -1) throw new Error(`no socket after ${this.#open.size}`);
    this.#open.add(handle);
    if (bind(handle, socketAddress(from, 0), 16) === -1) throw new Error(`cannot bind ${from}`);
    if (connect(handle, socketAddress("127.0.0.1", port), 16) === -1) {
      throw new Error(`cannot connect from ${from} to port ${port}`);
    }
    return handle;
  }

  /** Sends bytes as far as there is room; what happens to a connection that is closed is nothing. */
  send(handle: number, text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.#libc.symbols.send(handle, bytes, BigInt(bytes.length), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** What has come and was not asked for yet; "" also where nothing has. */
  received(handle: number): string {
    const bytes = new Uint8Array(65536);
    const count = Number(this.#libc.symbols.recv(handle, bytes, BigInt(bytes.length), MSG_DONTWAIT));
    return new TextDecoder().decode(bytes.subarray(0, Math.max(0, count)));
  }

  /** Those that the other side has closed. */
  closed(handles: readonly number[]): number[] {
    const words = new DataView(new ArrayBuffer(8 * handles.length));
    handles.forEach((handle, index) => {
      words.setInt32(8 * index, handle, true);
      words.setInt16(8 * index + 4, POLLRDHUP, true);
    });
    this.#libc.symbols.poll(new Uint8Array(words.buffer), BigInt(handles.length), 0);
    return handles.filter((_, index) => words.getInt16(8 * index + 6, true) !== 0);
  }

  close(handle: number): void {
    if (this.#open.delete(handle)) this.#libc.symbols.close(handle);
  }

  [Symbol.dispose](): void {
    for (const handle of [...this.#open]) this.close(handle);
    this.#libc.close();
  }
}

/** A `sockaddr_in`. */
function socketAddress(ip: string, port: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  bytes.set(ip.split(".").map(Number), 4);
  return bytes;
}
