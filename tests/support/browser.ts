/** A headless Chromium, without a network of its own to talk to. */
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

export const CHROMIUM = "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const STEP_TIMEOUT_MS = 15_000;

/** One page in a profile of its own, and what it complained of. */
export class BrowserPage implements AsyncDisposable {
  /** Faults of scripts, and what the console said in red but for answers with an error status. */
  readonly complaints: string[] = [];
  /** Addresses that were asked for. */
  readonly requested: string[] = [];

  private constructor(readonly browser: Browser, readonly context: BrowserContext, readonly page: Page) {
    page.on("pageerror", (error) => this.complaints.push(String(error.stack ?? error)));
    page.on("console", (message) => {
      const failedAnswer = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !failedAnswer) this.complaints.push(message.text());
    });
    page.on("request", (request) => this.requested.push(request.url()));
  }

  static async open(width = 1280, height = 900): Promise<BrowserPage> {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    const context = await browser.newContext({ viewport: { width, height }, locale: "en-US" });
    context.setDefaultTimeout(STEP_TIMEOUT_MS);
    return new BrowserPage(browser, context, await context.newPage());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close();
    await this.browser.close();
  }
}
