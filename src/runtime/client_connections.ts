/**
 * How many client connections are open. `Deno.serve` does not tell; the kernel does, and reading its table
 * once a scrape costs a request nothing.
 */

/** State of an established connection in /proc/net/tcp (include/net/tcp_states.h of Linux). */
const ESTABLISHED = "01";

/** Connections established on a local port; null where the kernel's table cannot be read (not Linux). */
export function countClientConnections(port: number): number | null {
  if (Deno.build.os !== "linux") return null;
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  let count = 0;
  for (const path of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const table = readTable(path);
    if (table === null) return null;
    for (const line of table.split("\n")) {
      // "  0: 0100007F:1F90 0100007F:D2A4 01 …": slot, local address, remote address, state.
      const [, local, , state] = line.trim().split(/\s+/, 4);
      if (state === ESTABLISHED && local?.endsWith(suffix)) count++;
    }
  }
  return count;
}

/** Null where it cannot be read; a kernel without IPv6 has no second table. */
function readTable(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (fault) {
    if (fault instanceof Deno.errors.NotFound && path.endsWith("6")) return "";
    if (fault instanceof Error) return null;
    throw fault;
  }
}
