/** Free TCP ports on 127.0.0.1. */

const given = new Set<number>();

/** A port nobody listens on now, and that no other call in this process was given. */
export function freePort(): number {
  for (;;) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}
