/** Who may come in by key or token, through the real program. */
import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { Dispa } from "../support/dispa.ts";
import { field, ok, RawUpstream } from "../support/upstream.ts";

function toml(url: string, security: string): string {
  return `
[domains]
intercept_domains = ["*"]
[targets.health_check]
enabled = false
[[targets.targets]]
name = "one"
url = "${url}"
${security}`;
}

async function denied(dispa: Dispa, kind: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${dispa.metricsPort}/metrics`);
  const found = new RegExp(`^dispa_security_denied_total\\{kind="${kind}"\\} (\\d+)$`, "m").exec(
    await response.text(),
  );
  return found === null ? 0 : Number(found[1]);
}

Deno.test("an API key lets in, none and a wrong one get 401 with WWW-Authenticate, exempt paths need none", async () => {
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream.url,
      `[security]
exempt_paths = ["/public"]
[security.auth]
enabled = true
mode = "apikey"
keys = ["first-key-0123456789", "second-key-0123456789"]
`,
    ),
  });
  const withKey = (key: string, path = "/") => dispa.fetch("a.com", path, { headers: { "x-api-key": key } });
  assert.equal((await withKey("second-key-0123456789")).status, 200);
  const wrong = await withKey("third-key-0123456789");
  assert.deepEqual([wrong.status, wrong.headers.get("x-dispa-error")], [401, "unauthorized"]);
  assert.ok(wrong.headers.get("www-authenticate"));
  assert.equal((await dispa.fetch("a.com")).status, 401);
  assert.equal((await dispa.fetch("a.com", "/public/x")).status, 200);
  assert.equal((await dispa.fetch("a.com", "/public/%2e%2e/private")).status, 401);
  assert.deepEqual([await denied(dispa, "auth_apikey"), await denied(dispa, "auth_missing")], [1, 2]);
  assert.doesNotMatch(dispa.stderr.text, /first-key/);
});

Deno.test("a JWT is verified, its claims are passed on and cannot be forged, and it expires", async () => {
  const secret = "a-secret-of-more-than-thirty-two-bytes!";
  await using upstream = new RawUpstream(() => ok("hello"));
  await using dispa = await Dispa.start({
    toml: toml(
      upstream.url,
      `[security.jwt]
enabled = true
algorithm = "HS256"
secret = "${secret}"
issuer = "https://issuer.example"
leeway_secs = 0
claims_to_headers = { sub = "x-user" }
`,
    ),
  });
  const sign = (key: string, expires: number, issuer = "https://issuer.example") =>
    new SignJWT({ sub: "alice" }).setProtectedHeader({ alg: "HS256" }).setIssuer(issuer)
      .setExpirationTime(expires).sign(new TextEncoder().encode(key));
  const now = Math.floor(Date.now() / 1000);
  const show = (token: string) =>
    dispa.fetch("a.com", "/", { headers: { authorization: `Bearer ${token}`, "x-user": "mallory" } });
  const good = await sign(secret, now + 60);
  for (let i = 0; i < 3; i++) assert.equal((await show(good)).status, 200);
  assert.deepEqual(upstream.requests.map((request) => field(request, "x-user")), ["alice", "alice", "alice"]);
  for (
    const bad of [
      await sign("another-secret-of-more-than-32-bytes!!!", now + 60),
      await sign(secret, now - 5),
      await sign(secret, now + 60, "https://other.example"),
      "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
      "nonsense",
    ]
  ) {
    const refused = await show(bad);
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get("www-authenticate") ?? "", /Bearer.*invalid_token/);
  }
  assert.equal(await denied(dispa, "jwt_invalid"), 5);
  assert.equal((await dispa.fetch("a.com")).status, 401);
  assert.equal(upstream.requests.length, 3);
});
