/** The console in a real browser against the real program: what an operator does with it. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { BrowserPage, CHROMIUM } from "../support/browser.ts";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { requires } from "../support/skip.ts";
import { ok, RawClient, RawUpstream } from "../support/upstream.ts";

const TOKENS = {
  viewer: "viewer-token-0123456789abcdef",
  editor: "editor-token-0123456789abcdef",
  admin: "admin-token-0123456789abcdef",
};
const VIEWS = ["overview", "targets", "traffic", "explain", "config", "plugins"];

/** Requests one after the other, paced, until disposed. */
class Requests implements AsyncDisposable {
  #going = true;
  readonly #done: Promise<void>;

  constructor(dispa: Dispa) {
    this.#done = this.#run(dispa.port);
  }

  async #run(port: number): Promise<void> {
    using client = await RawClient.connect(port);
    while (this.#going) {
      client.received = "";
      await client.send("GET /flow HTTP/1.1\r\nHost: example.com\r\n\r\n");
      await client.readUntil(/\r\n\r\nhello$/);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#going = false;
    await this.#done;
  }
}

interface Scene {
  dispa: Dispa;
  upstreams: RawUpstream[];
  browser: BrowserPage;
  page: Page;
  /** Goes to a view by its link. */
  go(view: string): Promise<void>;
}

interface Setting {
  balancing: "roundrobin" | "weighted";
  /** Whether the program knows any token. */
  tokens: boolean;
}

/** A test with two targets and a browser that has logged in as `role`; nobody has where it is null. */
function consoleTest(
  name: string,
  role: keyof typeof TOKENS | null,
  body: (scene: Scene) => Promise<void>,
  { balancing, tokens }: Setting = { balancing: "roundrobin", tokens: true },
): void {
  Deno.test({
    name,
    ...requires("chromium", CHROMIUM),
    // The driver of the browser keeps a process and timers of its own.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      await using a = new RawUpstream(() => ok("hello"));
      await using b = new RawUpstream(() => ok("hello"));
      await using dispa = await Dispa.start({
        toml: `[domains]
intercept_domains = ["example.com"]

[targets.health_check]
enabled = false

[targets.load_balancing]
type = "${balancing}"

[[targets.targets]]
name = "t0"
url = "${a.url}"

[[targets.targets]]
name = "t1"
url = "${b.url}"
`,
        env: !tokens ? {} : {
          DISPA_VIEWER_TOKEN: TOKENS.viewer,
          DISPA_EDITOR_TOKEN: TOKENS.editor,
          DISPA_ADMIN_TOKEN: TOKENS.admin,
        },
      });
      await using browser = await BrowserPage.open();
      const { page } = browser;
      await page.goto(`http://127.0.0.1:${dispa.metricsPort}/admin`);
      if (role !== null) {
        await logIn(page, TOKENS[role]);
        await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      }
      const go = async (view: string) => {
        await page.click(`nav a[href="#/${view}"]`);
        await page.locator(`nav a[href="#/${view}"][aria-current=page]`).waitFor();
      };
      await body({ dispa, upstreams: [a, b], browser, page, go });
      assert.deepEqual(browser.complaints, []);
      const origin = `http://127.0.0.1:${dispa.metricsPort}/`;
      assert.deepEqual(browser.requested.filter((url) => !url.startsWith(origin)), []);
    },
  });
}

async function logIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
}

function row(page: Page, name: string) {
  return page.locator(`tr[data-row="${name}"]`);
}

function editor(page: Page) {
  return page.getByLabel("Configuration, TOML");
}

consoleTest(
  "a wrong token is refused with a reason, a right one opens the console, logging out closes it",
  null,
  async ({ page }) => {
    await logIn(page, "wrong");
    await page.getByRole("alert").waitFor();
    assert.notEqual((await page.getByRole("alert").first().innerText()).trim(), "");
    assert.equal(await page.locator("nav").count(), 0);
    await logIn(page, TOKENS.admin);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    assert.equal(await page.locator(".role").innerText(), "Admin");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    // Not the page alone has forgotten who it was.
    await page.reload();
    await page.getByLabel("Token").waitFor();
  },
);

consoleTest(
  "the overview's numbers and charts move while requests flow",
  "viewer",
  async ({ page, dispa }) => {
    const total = async () => {
      const text = await page.locator('[data-stat="Request rate"] .hint').innerText();
      return Number(/([\d,]+) since the start/.exec(text)?.[1].replaceAll(",", ""));
    };
    await using _requests = new Requests(dispa);
    const before = await total();
    await eventually("the total grows", async () => await total() > before);
    await eventually("the rate is shown", async () => {
      const rate = await page.locator('[data-stat="Request rate"] dd').first().innerText();
      return Number.parseFloat(rate) > 1;
    });
    await eventually("percentiles are shown", async () => {
      const texts = await Promise.all(
        ["p50", "p95", "p99"].map((name) => page.locator(`[data-stat="${name}"] dd`).first().innerText()),
      );
      return texts.every((text) => /^[\d.]+\sm?s$/.test(text));
    });
    const chart = page.getByRole("img", { name: /^Requests per second: 2xx/ });
    await eventually(
      "the chart says the rate",
      async () => !(await chart.getAttribute("aria-label"))?.includes("2xx 0,"),
    );
    const drawn = () => page.evaluate("document.querySelector('.plot canvas').toDataURL()");
    const first = await drawn();
    await eventually("the chart is drawn anew", async () => await drawn() !== first);
  },
);

consoleTest(
  "a drained target gets no request until it is resumed",
  "editor",
  async ({ page, dispa, upstreams: [a, b], go }) => {
    await using _requests = new Requests(dispa);
    await eventually("both targets are asked", () => a.requests.length > 0 && b.requests.length > 0);
    await go("targets");
    await row(page, "t0").getByRole("button", { name: "Drain" }).click();
    await row(page, "t0").getByText("Draining").waitFor();
    const [drained, other] = [a.requests.length, b.requests.length];
    await eventually("the other target takes over", () => b.requests.length >= other + 50);
    // One request may have been under way when the button was pressed.
    assert.ok(a.requests.length <= drained + 1, `${a.requests.length - drained} requests went to it`);
    await row(page, "t1").locator(".share", { hasText: /^100\s%$/ }).waitFor();
    await row(page, "t0").getByRole("button", { name: "Resume" }).click();
    const resumed = a.requests.length;
    await eventually("it is asked again", () => a.requests.length > resumed + 5);
  },
);

consoleTest("draining the last usable target asks first", "editor", async ({ page, go }) => {
  await go("targets");
  await row(page, "t0").getByRole("button", { name: "Drain" }).click();
  await row(page, "t0").getByText("Draining").waitFor();
  await row(page, "t1").getByRole("button", { name: "Drain" }).click();
  await page.getByRole("dialog", { name: "Drain t1?" }).getByRole("button", { name: "Cancel" }).click();
  assert.equal(await row(page, "t1").getByText("Draining").count(), 0);
});

/** The share of the first upstream among the next requests. */
async function shareOfFirst([a, b]: RawUpstream[]): Promise<number> {
  const [first, second] = [a.requests.length, b.requests.length];
  await eventually(
    "requests flow",
    () => a.requests.length + b.requests.length >= first + second + 80,
  );
  return (a.requests.length - first) / (a.requests.length + b.requests.length - first - second);
}

function isNear(share: number, wanted: number): boolean {
  return Math.abs(share - wanted) < 0.05;
}

consoleTest(
  "a weight set in the dialog moves requests, and goes back to the configured one",
  "editor",
  async ({ page, dispa, upstreams, go }) => {
    await using _requests = new Requests(dispa);
    await go("targets");
    const dialog = page.getByRole("dialog", { name: "Weight of t0" });
    const field = dialog.getByLabel("Weight (configured: 1)");
    const open = () => row(page, "t0").getByRole("button", { name: "Weight" }).click();

    await open();
    for (const wrong of ["0", "-1", "a lot", ""]) {
      await field.fill(wrong);
      await dialog.getByText(/^A number above 0/).waitFor();
      assert.ok(await dialog.getByRole("button", { name: "Set weight" }).isDisabled(), wrong);
    }
    await page.keyboard.press("Escape");
    assert.equal(await dialog.count(), 0);
    assert.ok(isNear(await shareOfFirst(upstreams), 0.5));

    await open();
    await field.fill("3");
    await dialog.getByRole("button", { name: "Set weight" }).click();
    await page.getByText("t0 has the weight 3 now.").waitFor();
    assert.equal(await dialog.count(), 0);
    await row(page, "t0").getByText("configured 1").waitFor();
    assert.ok(isNear(await shareOfFirst(upstreams), 0.75));

    await open();
    assert.equal(await field.inputValue(), "3");
    await dialog.getByRole("button", { name: "As configured" }).click();
    await page.getByText("t0 has its configured weight again.").waitFor();
    assert.equal(await row(page, "t0").getByText("configured 1").count(), 0);
    assert.ok(isNear(await shareOfFirst(upstreams), 0.5));
  },
  { balancing: "weighted", tokens: true },
);

consoleTest(
  "a target forced to be unhealthy gets no request until that is taken back",
  "editor",
  async ({ page, dispa, upstreams, go }) => {
    await using _requests = new Requests(dispa);
    await go("targets");
    const dialog = page.getByRole("dialog", { name: "Force the health of t0" });
    await row(page, "t0").getByRole("button", { name: "Force…" }).click();
    await dialog.getByRole("button", { name: "Close" }).click();
    assert.equal(await dialog.count(), 0);
    assert.ok(isNear(await shareOfFirst(upstreams), 0.5));

    await row(page, "t0").getByRole("button", { name: "Force…" }).click();
    await dialog.getByLabel("For").selectOption("1800");
    const before = Date.now();
    await dialog.getByRole("button", { name: "Unhealthy" }).click();
    await page.getByText(/^t0 counts as unhealthy for 30/i).waitFor();
    await row(page, "t0").getByText(/^Forced until/).waitFor();
    await row(page, "t0").getByText("Unhealthy", { exact: true }).waitFor();
    const answer = await fetch(`http://127.0.0.1:${dispa.metricsPort}/admin/targets`, {
      headers: { authorization: `Bearer ${TOKENS.viewer}` },
    });
    const { targets } = await answer.json();
    const until = Date.parse(targets.find(({ name }: { name: string }) => name === "t0").forced.until);
    assert.ok(until >= before + 1_790_000 && until <= Date.now() + 1_800_000, new Date(until).toISOString());
    // One request may have been under way when the button was pressed.
    await eventually("no request goes to it", async () => await shareOfFirst(upstreams) === 0);

    await row(page, "t0").getByRole("button", { name: "Stop forcing" }).click();
    await page.getByText("t0 is judged by its health checks again.").waitFor();
    assert.equal(await row(page, "t0").getByText(/^Forced until/).count(), 0);
    await eventually("it is asked again", async () => isNear(await shareOfFirst(upstreams), 0.5));
  },
);

consoleTest(
  "without any token the console can be read and says why nothing can be changed",
  null,
  async ({ page, dispa, go }) => {
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.locator(".banner").getByText(/DISPA_ADMIN_TOKEN/).waitFor();
    assert.equal(await page.getByLabel("Token").count(), 0);
    assert.equal(await page.getByRole("button", { name: "Log out" }).count(), 0);
    await go("targets");
    for (const name of ["Drain", "Weight", "Force…"]) {
      assert.ok(await row(page, "t0").getByRole("button", { name }).isDisabled(), name);
    }
    await go("config");
    await editor(page).waitFor();
    assert.ok(!await editor(page).isEditable());
    assert.ok(await page.getByRole("button", { name: "Review the change" }).isDisabled());
    // What a button cannot do, a script in the page cannot do either.
    const status = await page.evaluate(`fetch("/admin/targets", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ target: "t0", action: "drain" }),
    }).then(({ status }) => status)`);
    assert.equal(status, 403);
    const { body } = await dispa.health();
    assert.deepEqual(body.targets.map(({ draining }) => draining), [false, false]);
  },
  { balancing: "roundrobin", tokens: false },
);

consoleTest(
  "a broken configuration is shown at its line and changes nothing",
  "editor",
  async ({ page, dispa, go }) => {
    const file = Deno.readTextFileSync(dispa.configPath);
    await go("config");
    const text = (await editor(page).inputValue()).replace('type = "roundrobin"', 'type = "roundrobbin"');
    const line = text.split("\n").findIndex((line) => line.includes("roundrobbin")) + 1;
    await editor(page).fill(text);
    await page.locator(`.problems li[data-line="${line}"]`, { hasText: "targets.load_balancing.type" })
      .waitFor();
    assert.deepEqual(await page.locator(".line-number.error").allInnerTexts(), [String(line)]);
    await page.getByRole("button", { name: "Review the change" }).click();
    await page.getByText("Errors: 1").waitFor();
    assert.equal(await page.getByRole("dialog").count(), 0);
    assert.equal(
      await page.evaluate(
        "(({ value, selectionStart }) => value.slice(0, selectionStart).split('\\n').length)(document.activeElement)",
      ),
      line,
    );
    assert.equal(Deno.readTextFileSync(dispa.configPath), file);
    assert.equal(await dispa.metric('dispa_config_reloads_total{result="success"}'), 0);
  },
);

consoleTest(
  "a good configuration is compared, applied and rolled back",
  "admin",
  async ({ page, dispa, go }) => {
    const file = Deno.readTextFileSync(dispa.configPath);
    assert.equal((await dispa.fetch("second.com")).status, 404);
    await go("config");
    await editor(page).fill(
      (await editor(page).inputValue()).replace('["example.com"]', '["example.com", "second.com"]'),
    );
    await page.keyboard.press("Control+s");
    const review = page.getByRole("dialog", { name: "Apply this change?" });
    await review.locator(".diff-added code").first().waitFor();
    assert.deepEqual(await review.locator(".diff-added code").allInnerTexts(), [
      'intercept_domains = ["example.com", "second.com"]',
    ]);
    await review.getByRole("button", { name: "Apply" }).click();
    await page.getByText("Applied: generation 2 is in use.").waitFor();
    assert.equal((await dispa.fetch("second.com")).status, 200);

    await page.getByRole("button", { name: "History" }).click();
    await page.getByRole("button", { name: "Compare" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Roll back to it" }).click();
    await page.getByText("Rolled back: generation 3 is in use.").waitFor();
    assert.equal((await dispa.fetch("second.com")).status, 404);
    assert.equal(Deno.readTextFileSync(dispa.configPath), file);
    await page.getByRole("button", { name: "Edit" }).click();
    await eventually(
      "the editor has the old text",
      async () => !(await editor(page).inputValue()).includes("second.com"),
    );
  },
);

consoleTest("a viewer may look at everything and change nothing", "viewer", async ({ page, go }) => {
  await go("targets");
  for (const name of ["Drain", "Weight", "Force…"]) {
    assert.ok(await row(page, "t0").getByRole("button", { name }).isDisabled(), name);
  }
  await go("config");
  await editor(page).waitFor();
  assert.ok(!await editor(page).isEditable());
  assert.ok(await page.getByRole("button", { name: "Review the change" }).isDisabled());
  await page.getByText("Needs the editor role").waitFor();
});

consoleTest(
  "a request appears in the live tail, is found again and opens in full",
  "viewer",
  async ({ page, dispa, go }) => {
    await go("traffic");
    await page.getByText("Waiting for requests…").waitFor();
    const live = page.getByRole("cell", { name: "example.com/seen-live" });
    await eventually("the live tail shows a request", async () => {
      await dispa.fetch("example.com", "/seen-live");
      return await live.count() > 0;
    });
    const record = await dispa.record("of the request", ({ path }) => path === "/seen-live");

    await page.getByRole("button", { name: "Search" }).first().click();
    await page.getByLabel("Request ID").fill(record.request_id);
    await page.getByLabel("Request ID").press("Enter");
    await page.getByText("Records: 1", { exact: true }).waitFor();
    await page.getByRole("cell").getByRole("button").click();
    const detail = page.getByRole("dialog", { name: "GET example.com/seen-live" });
    await detail.getByText(record.id).first().waitFor();
    await detail.getByText(`The balancer picked ${record.target}.`).waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await page.getByRole("dialog").count(), 0);

    await page.getByRole("button", { name: "Slowest of the last minute" }).click();
    await page.locator("select[name=order]").waitFor();
    await eventually("the search is in the address", () => page.url().includes("order=slowest"));
  },
);

consoleTest(
  "explain says where a request would go, step by step, also for one that is recorded",
  "viewer",
  async ({ page, dispa, go, upstreams: [a, b] }) => {
    await go("explain");
    await page.getByLabel("Host", { exact: true }).fill("example.com");
    await page.getByLabel("Path and query").fill("/a%20b?q=1");
    await page.getByLabel("Headers, one a line").fill("x-mine: yes");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("status").getByText(/^Forwarded to t[01]$/).waitFor();
    await page.getByRole("listitem").getByText('example.com is matched by "example.com"').waitFor();
    const upstream = await page.locator("section", { hasText: "The request that the target gets" })
      .locator("pre").innerText();
    assert.match(upstream, /^GET http:\/\/127\.0\.0\.1:\d+\/a%20b\?q=1$/m);
    assert.match(upstream, /^x-mine: yes$/m);
    assert.deepEqual([a.requests.length, b.requests.length], [0, 0]);

    await page.getByLabel("Host", { exact: true }).fill("other.org");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("status").getByText("Refused with 404 domain_not_found").waitFor();

    await dispa.fetch("example.com", "/recorded", { headers: { "x-request-id": "asked-1" } });
    await dispa.record("of the request", ({ path }) => path === "/recorded");
    await go("traffic");
    await page.getByRole("button", { name: "Search" }).first().click();
    await page.getByLabel("Request ID").fill("asked-1");
    await page.getByLabel("Request ID").press("Enter");
    await page.getByText("Records: 1", { exact: true }).waitFor();
    await page.getByRole("cell").getByRole("button").click();
    await page.getByRole("dialog").getByRole("link", { name: "Explain it now" }).click();
    await page.getByRole("status").getByText(/^Forwarded to t[01]$/).waitFor();
    assert.match(page.url(), /#\/explain\?request_id=asked-1$/);
    await page.getByText(/\/recorded$/m).first().waitFor();
  },
);

consoleTest("language and theme are remembered", "viewer", async ({ page }) => {
  const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
  await page.getByLabel("Theme").selectOption("light");
  const light = await background();
  await page.getByLabel("Theme").selectOption("dark");
  assert.notEqual(await background(), light);
  await page.getByLabel("Language").selectOption("zh");
  await page.getByRole("heading", { level: 1, name: "总览" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "总览" }).waitFor();
  assert.notEqual(await background(), light);
  assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
});

consoleTest(
  "no view is wider than a window of 360 px, in both languages",
  "admin",
  async ({ page, dispa, go }) => {
    await page.setViewportSize({ width: 360, height: 780 });
    await dispa.fetch("example.com", `/${"a-long-path-".repeat(20)}`);
    for (const language of ["en", "zh"]) {
      await page.locator(".top-end select").first().selectOption(language);
      for (const view of VIEWS) {
        await go(view);
        await page.locator("main h1").waitFor();
        const beyond = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert.equal(beyond, 0, `${view} in ${language}`);
      }
    }
  },
);

consoleTest("the keyboard alone reaches a view and its buttons", "editor", async ({ page }) => {
  await page.locator(".brand").focus();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Targets" }).waitFor();
  const focused = await page.evaluate("document.activeElement.textContent");
  assert.equal(focused, "Targets");
  assert.notEqual(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "none");
  await row(page, "t0").getByRole("button", { name: "Drain" }).focus();
  await page.keyboard.press("Space");
  await row(page, "t0").getByText("Draining").waitFor();
});
