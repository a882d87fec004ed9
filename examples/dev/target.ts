/** A demo target: says who it is and what it was asked. `deno run -A examples/dev/target.ts NAME PORT` */

const [name = "demo", port = "3001"] = Deno.args;

Deno.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  onListen: () => console.log(`${name} listens on http://127.0.0.1:${port}`),
}, (request) => {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/health") return new Response("ok\n");
  const lines = [
    `Hello from ${name}`,
    `${request.method} ${pathname}${search}`,
    ...[...request.headers].map(([field, value]) => `${field}: ${value}`),
  ];
  return new Response(lines.join("\n") + "\n", { headers: { "x-served-by": name } });
});
