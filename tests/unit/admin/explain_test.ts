import assert from "node:assert/strict";
import { AdminFixture, body, EXPLANATION } from "./support.ts";

Deno.test("/admin/explain asks about the request that the query describes", async () => {
  await using fixture = await AdminFixture.create();
  const query = "host=a.example.com:81&path=/x%3Fy%3D1&method=POST&scheme=https&client_ip=10.0.0.7" +
    "&header=X-One:%201&header=x-two:2";
  const answer = await body("Explained", await fixture.request(`/admin/explain?${query}`, { as: "viewer" }));
  assert.deepEqual(answer, { ...EXPLANATION, record: null });
  assert.deepEqual(fixture.explained, [{
    method: "POST",
    scheme: "https",
    authority: "a.example.com:81",
    target: "/x?y=1",
    headers: ["x-one", "1", "x-two", "2"],
    peerIp: "10.0.0.7",
  }]);
});

Deno.test("POST /admin/explain takes the same as JSON, with headers as an object or as lines", async () => {
  await using fixture = await AdminFixture.create();
  for (const headers of [{ "x-one": "1" }, ["x-one: 1"]]) {
    const question = { host: "a", path: "/p", client_ip: "::1", headers };
    await body("Explained", await fixture.post("/admin/explain", question, { as: "viewer" }));
  }
  const [first, second] = fixture.explained;
  assert.deepEqual(first, second);
  assert.deepEqual(first.headers, ["x-one", "1"]);
  assert.equal(first.peerIp, "::1");
});

for (
  const [query, message] of [
    ["", /host is missing/],
    ["host=a/b", /host is "a\/b", wanted/],
    ["host=a&path=x", /path is "x", wanted a path that begins with \//],
    ["host=a&client_ip=1.2.3", /client IP is "1.2.3"/],
    ["host=a&header=nocolon", /header is "nocolon"/],
    ["host=a&header=host:b", /header is "host:b", wanted another field/],
    ["host=a&scheme=ftp", /scheme is "ftp", wanted http or https/],
    ["host=a&method=A%20B", /method is "A B"/],
    ["host=a&hots=b", /unknown parameter "hots"/],
  ] as const
) {
  Deno.test(`/admin/explain?${query} is refused with what is wanted`, async () => {
    await using fixture = await AdminFixture.create();
    const answer = await fixture.request(`/admin/explain?${query}`, { as: "viewer" });
    assert.equal(answer.status, 400);
    assert.match((await answer.json()).error.message, message);
    assert.equal(fixture.explained.length, 0);
  });
}

Deno.test("/admin/explain says when no such request is recorded", async () => {
  await using fixture = await AdminFixture.create();
  const answer = await fixture.request("/admin/explain?request_id=abc", { as: "viewer" });
  assert.equal(answer.status, 404);
  assert.match((await answer.json()).error.message, /no request "abc" is recorded/);
});
