/** A real Prometheus that scrapes one port, in a folder of its own. */
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import { Lines } from "./lines.ts";
import { freePort } from "./ports.ts";

export const PROMETHEUS_PATHS = ["/usr/bin/prometheus", "/usr/local/bin/prometheus"];

interface Answer {
  status: string;
  data: { result: { metric: Record<string, string>; value: [number, string] }[] };
}

export class Prometheus implements AsyncDisposable {
  readonly port = freePort();
  readonly #directory = Deno.makeTempDirSync({ prefix: "dispa-prometheus-" });
  readonly #child: Deno.ChildProcess;
  readonly #log: Lines;

  private constructor(scrapedPort: number) {
    const config = join(this.#directory, "prometheus.yml");
    Deno.writeTextFileSync(
      config,
      `global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
scrape_configs:
  - job_name: dispa
    static_configs:
      - targets: ["127.0.0.1:${scrapedPort}"]
`,
    );
    this.#child = new Deno.Command("prometheus", {
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(this.#directory, "data")}`,
        `--web.listen-address=127.0.0.1:${this.port}`,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#log = new Lines(this.#child.stderr);
  }

  /** Starts it and resolves when it has scraped `scrapedPort` once with success. */
  static async scraping(scrapedPort: number): Promise<Prometheus> {
    const prometheus = new Prometheus(scrapedPort);
    try {
      await eventually(
        "Prometheus has scraped",
        async () => await prometheus.value("up") === 1,
      );
      return prometheus;
    } catch (fault) {
      const log = prometheus.#log.all.slice(-5).join("\n");
      await prometheus[Symbol.asyncDispose]();
      throw new Error(`Prometheus does not scrape: ${log}`, { cause: fault });
    }
  }

  /** The sum of what the query finds now; null if it finds nothing. */
  async value(query: string): Promise<number | null> {
    const url = `http://127.0.0.1:${this.port}/api/v1/query?query=${encodeURIComponent(query)}`;
    const answer = await (await fetch(url)).json() as Answer;
    const { result } = answer.data;
    return result.length === 0 ? null : result.reduce((sum, { value }) => sum + Number(value[1]), 0);
  }

  /** Why the last scrape of the target failed; "" if it did not. */
  async scrapeError(): Promise<string> {
    const answer = await (await fetch(`http://127.0.0.1:${this.port}/api/v1/targets`)).json();
    return answer.data.activeTargets[0].lastError;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#log.done;
    Deno.removeSync(this.#directory, { recursive: true });
  }
}
