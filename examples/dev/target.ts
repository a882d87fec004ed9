/** A demo target: says who it is and what it was asked. `deno run -A examples/dev/target.ts NAME PORT` */

const [name = "demo", port = "3001"] = Deno.args;

function answer(request: Request): Response {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/health") return new Response("ok\n");
  const lines = [
    `Hello from ${name}`,
    `${request.method} ${pathname}${search}`,
    ...[...request.headers].map(([field, value]) => `${field}: ${value}`),
  ];
  return new Response(lines.join("\n") + "\n", { headers: { "x-served-by": name } });
}

try {
  Deno.serve({
    hostname: "127.0.0.1",
    port: Number(port),
    onListen: () => console.log(`${name} listens on http://127.0.0.1:${port}`),
  }, answer);
} catch (fault) {
  if (!(fault instanceof Deno.errors.AddrInUse)) throw fault;
  console.error(`${name} cannot listen on http://127.0.0.1:${port}: another program has this port`);
  Deno.exit(2);
}
