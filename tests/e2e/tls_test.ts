/** HTTPS for clients, and https targets with certificates of one's own, against the real program. */
import assert from "node:assert/strict";
import http2 from "node:http2";
import { Authority, type LeafFiles } from "../support/certificates.ts";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import { requires } from "../support/skip.ts";
import { field, fromLatin1, latin1, ok, RawClient, RawUpstream, writeAll } from "../support/upstream.ts";

const GET = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

/** Runs `body` with an authority in a folder of its own. */
async function withAuthority(body: (authority: Authority) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "dispa-tls-" });
  try {
    await body(await Authority.make(directory));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const pair = ({ certPath, keyPath }: LeafFiles) => `cert_file = "${certPath}"\nkey_file = "${keyPath}"\n`;

function toml(upstream: RawUpstream, tls: string): string {
  return `${tls}\n[[targets.targets]]\nname = "one"\nurl = "${upstream.url}"\n` +
    `[targets.health_check]\nenabled = false\n`;
}

/** A TLS connection that asks for `name`, and is refused unless the certificate is for it. */
async function connect(port: number, name: string, caPem: string): Promise<Deno.TlsConn> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const tls = await Deno.startTls(socket, { hostname: name, caCerts: [caPem] });
  try {
    await tls.handshake();
  } catch (fault) {
    tls.close();
    throw fault;
  }
  return tls;
}

/** Sends a request and returns what comes back up to the body. */
async function ask(socket: Deno.Conn): Promise<string> {
  await writeAll(socket, fromLatin1(GET));
  let text = "";
  const chunk = new Uint8Array(4096);
  while (!text.endsWith("hello")) {
    const count = await socket.read(chunk);
    if (count === null) throw new Error(`the connection ended after ${JSON.stringify(text)}`);
    text += latin1(chunk.subarray(0, count));
  }
  return text;
}

Deno.test("HTTPS is served beside HTTP, as HTTP/2 to clients that have it", async () => {
  await withAuthority(async (authority) => {
    const leaf = await authority.leaf({ names: ["localhost", "127.0.0.1"] });
    await using upstream = new RawUpstream(() => ok("hello"));
    const port = freePort();
    await using dispa = await Dispa.start({ toml: toml(upstream, `[tls]\nport = ${port}\n${pair(leaf)}`) });
    await dispa.stderr.waitFor(
      new RegExp(`serving on http://127.0.0.1:${dispa.port} and https://127.0.0.1:${port}`),
    );
    assert.equal((await dispa.fetch("example.com")).status, 200);
    using one = await connect(port, "localhost", authority.caPem);
    assert.match(await ask(one), /^HTTP\/1\.1 200 OK/);
    // Only HTTP/2 has no Host field; the name that the runtime makes up for a missing one is nobody's.
    await writeAll(one, fromLatin1("GET /no-host HTTP/1.1\r\n\r\n"));
    const refusal = new Uint8Array(4096);
    assert.match(latin1(refusal.subarray(0, await one.read(refusal) ?? 0)), /^HTTP\/1\.1 400 /);
    const client = Deno.createHttpClient({ caCerts: [authority.caPem], http1: false });
    const response = await fetch(`https://localhost:${port}/h2`, { client });
    assert.equal(await response.text(), "hello");
    client.close();
    const [plain, secure, h2] = upstream.requests;
    assert.equal(field(plain, "x-forwarded-proto"), "http");
    assert.equal(field(secure, "x-forwarded-proto"), "https");
    assert.equal(field(h2, "x-forwarded-proto"), "https");
    assert.equal(field(h2, "host"), `localhost:${port}`);
    const record = await dispa.record("of the HTTP/2 request", ({ path }) => path === "/h2");
    assert.equal(record.protocol, "h2");
  });
});

Deno.test("an HTTP/2 client that sends a Host field too keeps a body that declares no length", async () => {
  await withAuthority(async (authority) => {
    const leaf = await authority.leaf({ names: ["localhost", "127.0.0.1"] });
    await using upstream = new RawUpstream(() => ok("hello"));
    const port = freePort();
    await using dispa = await Dispa.start({ toml: toml(upstream, `[tls]\nport = ${port}\n${pair(leaf)}`) });
    const session = http2.connect(`https://localhost:${port}`, { ca: authority.caPem });
    try {
      const stream = session.request({
        ":method": "POST",
        ":path": "/both",
        ":authority": "localhost",
        host: "localhost",
      });
      stream.end("the body");
      await new Promise((resolve, reject) => {
        stream.on("end", resolve);
        stream.on("error", reject);
        stream.resume();
      });
    } finally {
      session.destroy();
    }
    const [request] = upstream.requests;
    assert.equal(request.body, "the body");
    const record = await dispa.record("of the request", ({ path }) => path === "/both");
    assert.equal(record.protocol, "h2");
  });
});

Deno.test("each name gets its certificate, all others and none the default", async () => {
  await withAuthority(async (authority) => {
    const [fallback, shop, wild] = [
      await authority.leaf({ names: ["other.test", "127.0.0.1"] }),
      await authority.leaf({ names: ["shop.test"] }),
      await authority.leaf({ names: ["*.wild.test"] }),
    ];
    await using upstream = new RawUpstream(() => ok("hello"));
    const port = freePort();
    const entry = (domain: string, { certPath, keyPath }: LeafFiles) =>
      `[[tls.certificates]]\ndomain = "${domain}"\ncert_path = "${certPath}"\nkey_path = "${keyPath}"\n`;
    const tls = `[tls]\nport = ${port}\nplain_http = false\n${pair(fallback)}${entry("shop.test", shop)}${
      entry("*.wild.test", wild)
    }`;
    await using dispa = await Dispa.start({ toml: toml(upstream, tls), workers: 2 });
    for (const name of ["shop.test", "a.wild.test", "b.wild.test", "other.test", "127.0.0.1"]) {
      using client = await connect(port, name, authority.caPem);
      assert.match(await ask(client), /^HTTP\/1\.1 200 OK/, name);
    }
    await assert.rejects(connect(port, "wild.test", authority.caPem), /not valid for name/);
    await assert.rejects(RawClient.connect(dispa.port), Deno.errors.ConnectionRefused);
    const { body } = await dispa.health();
    const certificates = body.certificates as { domain: string; not_after: string }[];
    assert.deepEqual(certificates.map(({ domain }) => domain), ["*", "shop.test", "*.wild.test"]);
    const days = (Date.parse(certificates[1].not_after) - Date.now()) / 86_400_000;
    assert.ok(days > 29 && days < 31, `${days}`);
    assert.equal(
      await dispa.metric('dispa_tls_certificate_expiry_timestamp_seconds{domain="shop.test"}'),
      Date.parse(certificates[1].not_after) / 1000,
    );
  });
});

Deno.test("renewed files are used for new connections, bad ones never, and open connections stay", async () => {
  await withAuthority(async (authority) => {
    const leaf = await authority.leaf({ names: ["old.test"], file: "site" });
    await using upstream = new RawUpstream(() => ok("hello"));
    const port = freePort();
    const tls = `[tls]\nport = ${port}\n${pair(leaf)}`;
    await using dispa = await Dispa.start({ toml: toml(upstream, tls), workers: 2 });
    using before = await connect(port, "old.test", authority.caPem);
    await ask(before);

    const good = Deno.readTextFileSync(leaf.certPath);
    Deno.writeTextFileSync(leaf.certPath, "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n");
    await dispa.stderr.waitFor(/renewed certificates cannot be used, the old ones stay/);
    using meanwhile = await connect(port, "old.test", authority.caPem);
    await ask(meanwhile);

    await authority.leaf({ names: ["new.test"], file: "site", days: 90 });
    await dispa.stderr.waitFor(/certificates renewed/);
    await eventually("every thread uses the new certificate", async () => {
      for (let connection = 0; connection < 8; connection++) {
        using after = await connect(port, "new.test", authority.caPem).catch(() => null) ?? undefined;
        if (after === undefined) return false;
        await ask(after);
      }
      return true;
    });
    await assert.rejects(connect(port, "old.test", authority.caPem), /not valid for name/);
    await ask(before);
    await ask(meanwhile);
    assert.notEqual(Deno.readTextFileSync(leaf.certPath), good);
    const [{ not_after }] = (await dispa.health()).body.certificates as { not_after: string }[];
    assert.ok(Date.parse(not_after) - Date.now() > 80 * 86_400_000);
    const failures = dispa.stderr.all.filter((line) => line.includes("the old ones stay"));
    assert.equal(failures.length, 1, failures.join("\n"));
    assert.doesNotMatch(dispa.stderr.text, /PRIVATE KEY|BEGIN/);
  });
});

Deno.test("a reload switches HTTPS on, moves it, and off again", async () => {
  await withAuthority(async (authority) => {
    const leaf = await authority.leaf({ names: ["localhost"] });
    await using upstream = new RawUpstream(() => ok("hello"));
    await using dispa = await Dispa.start({ toml: toml(upstream, "") });
    const reach = async (port: number) => {
      using client = await connect(port, "localhost", authority.caPem);
      await ask(client);
    };
    for (const port of [freePort(), freePort()]) {
      await dispa.reload(toml(upstream, `[tls]\nport = ${port}\n${pair(leaf)}`));
      await reach(port);
    }
    // HTTPS takes the port that plain HTTP had.
    await dispa.reload(toml(upstream, `[tls]\nport = ${dispa.port}\nplain_http = false\n${pair(leaf)}`));
    await eventually("HTTPS on the port of HTTP", () => reach(dispa.port).then(() => true));
    await dispa.reload(toml(upstream, ""));
    await eventually("HTTP again", async () => (await dispa.fetch("example.com")).status === 200);
  });
});

Deno.test("a client that is silent in the handshake is counted, and others are served", async () => {
  await withAuthority(async (authority) => {
    const leaf = await authority.leaf({ names: ["localhost"] });
    await using upstream = new RawUpstream(() => ok("hello"));
    const port = freePort();
    await using dispa = await Dispa.start({
      toml: toml(upstream, `[tls]\nport = ${port}\n${pair(leaf)}`),
      server: "header_timeout = 0.3\n",
    });
    const slow = () => dispa.metric('dispa_security_denied_total{kind="slow_client"}');
    const open = () => dispa.metric("dispa_active_connections");
    {
      using _silent = await RawClient.connect(port);
      using garbage = await RawClient.connect(port);
      await garbage.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await garbage.readToEnd();
      using client = await connect(port, "localhost", authority.caPem);
      await ask(client);
      await eventually("the silent one is counted", async () => await slow() === 1);
      assert.equal(await open(), 2);
    }
    await eventually("all are gone", async () => await open() === 0);
    assert.equal(await dispa.stop(), 0);
  });
});

for (const transport of ["http1", "fetch"]) {
  Deno.test({
    name: `${transport}: an https target of a private authority is met with ca_file and a client certificate`,
    ...requires("openssl", "/usr/bin/openssl"),
    fn: async () => {
      await withAuthority(async (authority) => {
        const server = await authority.leaf({ names: ["localhost", "127.0.0.1"] });
        const client = await authority.leaf({ names: ["dispa.client"] });
        const port = freePort();
        // Asks each client for a certificate, refuses those without, and says what it has seen.
        const args = ["s_server", "-accept", `${port}`, "-cert", server.certPath, "-key", server.keyPath];
        args.push("-CAfile", authority.caPath, "-Verify", "1", "-verify_return_error", "-www");
        const target = new Deno.Command("openssl", { args, stdout: "null", stderr: "null" }).spawn();
        try {
          await eventually("openssl listens", async () => {
            const probe = await Deno.connect({ hostname: "127.0.0.1", port });
            probe.close();
            return true;
          });
          const text = (more: string) =>
            `[http_client]\ntransport = "${transport}"\n${more}[[targets.targets]]\nname = "one"\n` +
            `url = "https://localhost:${port}"\n[targets.health_check]\ninterval = 0.2\npath = "/"\nhealthy_threshold = 1\n` +
            "unhealthy_threshold = 100\n";
          await using dispa = await Dispa.start({ toml: text("") });
          const unknown = await dispa.fetch("example.com");
          assert.equal(unknown.headers.get("x-dispa-error"), "tls");
          const ca = `ca_file = "${authority.caPath}"\n`;
          await dispa.reload(text(ca));
          assert.notEqual((await dispa.fetch("example.com")).status, 200);
          await dispa.reload(
            text(`${ca}client_cert_file = "${client.certPath}"\nclient_key_file = "${client.keyPath}"\n`),
          );
          const response = await dispa.fetch("example.com");
          assert.equal(response.status, 200);
          assert.match(await response.text(), /CN ?= ?dispa\.client/);
          await dispa.stderr.waitFor(/target "one" is healthy/);
        } finally {
          target.kill("SIGKILL");
          await target.status;
        }
      });
    },
  });
}

for (const transport of ["http1", "fetch"]) {
  Deno.test(`${transport}: a reload takes up what has changed in ca_file, the configuration being the same`, async () => {
    await withAuthority(async (authority) => {
      const leaf = await authority.leaf({ names: ["localhost"] });
      const target = Deno.serve({
        port: 0,
        cert: Deno.readTextFileSync(leaf.certPath),
        key: Deno.readTextFileSync(leaf.keyPath),
        onListen() {},
      }, () => new Response("hello"));
      const folder = await Deno.makeTempDir({ prefix: "dispa-ca-" });
      try {
        const other = await Authority.make(folder);
        await using dispa = await Dispa.start({
          toml:
            `[http_client]\ntransport = "${transport}"\nca_file = "${other.caPath}"\n[[targets.targets]]\nname = "one"\n` +
            `url = "https://localhost:${target.addr.port}"\n[targets.health_check]\ninterval = 0.2\npath = "/"\n` +
            "healthy_threshold = 1\nunhealthy_threshold = 100\n",
          workers: 2,
        });
        assert.equal((await dispa.fetch("example.com")).headers.get("x-dispa-error"), "tls");
        Deno.writeTextFileSync(other.caPath, authority.caPem);
        dispa.signal("SIGHUP");
        await dispa.stderr.waitFor(/configuration reloaded/);
        for (let request = 0; request < 8; request++) {
          assert.equal((await dispa.fetch("example.com")).status, 200);
        }
        await dispa.stderr.waitFor(/target "one" is healthy/);
      } finally {
        await target.shutdown();
        await Deno.remove(folder, { recursive: true });
      }
    });
  });
}
