/** The other proxies: nginx, HAProxy, Caddy, and what Deno costs with next to nothing around it. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { freePort } from "../tests/support/ports.ts";
import { dispaPeer } from "./dispa.ts";
import { NGINX_COMMON } from "./nginx.ts";
import { onPath, type Peer, POOL_SIZE, startPeer } from "./peer.ts";

function missingProgram(program: string): string | null {
  return onPath(program) ? null : `${program} is not on the PATH`;
}

const nginx: Peer = {
  name: "nginx",
  description: "one process, access log on, keep-alive to the upstream",
  missing: missingProgram("nginx"),
  start: (surroundings) => {
    const port = freePort();
    return startPeer(surroundings, "nginx", port, async (folder) => {
      await Deno.writeTextFile(
        join(folder, "nginx.conf"),
        `${NGINX_COMMON}
http {
  access_log access.log; keepalive_requests 100000000; keepalive_timeout 3600; client_max_body_size 0;
  upstream target {
    server 127.0.0.1:${surroundings.upstream.port}; keepalive ${POOL_SIZE}; keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://target; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
}`,
      );
      return { program: "nginx", args: ["-p", folder, "-e", "error.log", "-c", "nginx.conf"] };
    });
  },
};

const haproxy: Peer = {
  name: "haproxy",
  description: "one thread, HTTP log to a file, connections to the upstream reused",
  missing: missingProgram("haproxy"),
  start: (surroundings) => {
    const port = freePort();
    return startPeer(surroundings, "haproxy", port, async (folder) => {
      // Its log goes to standard output, which is a file here.
      await Deno.writeTextFile(
        join(folder, "haproxy.cfg"),
        `global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 30s
frontend proxy
  bind 127.0.0.1:${port}
  default_backend target
backend target
  server upstream 127.0.0.1:${surroundings.upstream.port} pool-max-conn ${POOL_SIZE}
`,
      );
      return { program: "haproxy", args: ["-db", "-f", "haproxy.cfg"] };
    });
  },
};

const caddy: Peer = {
  name: "caddy",
  description: "reverse_proxy as it comes, on all cores, access log on",
  missing: missingProgram("caddy"),
  start: (surroundings) => {
    const port = freePort();
    return startPeer(surroundings, "caddy", port, async (folder) => {
      await Deno.writeTextFile(
        join(folder, "Caddyfile"),
        `{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  bind 127.0.0.1
  log {
    output file ${folder}/access.log
  }
  reverse_proxy 127.0.0.1:${surroundings.upstream.port} {
    transport http {
      keepalive_idle_conns ${POOL_SIZE}
      keepalive_idle_conns_per_host ${POOL_SIZE}
    }
  }
}
`,
      );
      return {
        program: "caddy",
        args: ["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        env: { HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder },
      };
    });
  },
};

const PASS_THROUGH = fileURLToPath(new URL("pass_through.ts", import.meta.url));
const DENO_JSON = fileURLToPath(new URL("../deno.json", import.meta.url));

function bare(mode: "http1" | "fetch", description: string): Peer {
  return {
    name: `bare-${mode}`,
    description,
    missing: null,
    start: (surroundings) => {
      const port = freePort();
      const args = [
        ...[
          "run",
          "-A",
          "--no-prompt",
          "--v8-flags=--max-semi-space-size=2",
          "--config",
          DENO_JSON,
          PASS_THROUGH,
        ],
        ...[mode, String(port), String(surroundings.upstream.port)],
      ];
      return startPeer(
        surroundings,
        `bare-${mode}`,
        port,
        () => Promise.resolve({ program: Deno.execPath(), args }),
      );
    },
  };
}

const OTHERS: Peer[] = [
  nginx,
  haproxy,
  caddy,
  bare("http1", "`Deno.serve` and Dispa's `http1` transport, nothing else: no log, metrics, rules or checks"),
  bare("fetch", "`Deno.serve` and `fetch`, nothing else"),
];

/** The peer of that name; null where there is none. Dispa's variants are made from their names, see dispa.ts. */
export function peerNamed(name: string): Peer | null {
  return OTHERS.find((peer) => peer.name === name) ?? dispaPeer(name);
}
