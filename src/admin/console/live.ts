/** What the server tells by itself: a sample a second, changes of targets and of the configuration. */
import { type Signal, signal } from "@preact/signals";
import type { ConfigState, Sample, Status, Target } from "../api.ts";
import { type ApiClient, ApiFault } from "./api_client.ts";

/** Five minutes. */
const MAX_SAMPLES = 300;
const STATUS_INTERVAL_MS = 5_000;

export type LinkState = "connecting" | "live" | "lost";

export class Live {
  readonly samples: Signal<Sample[]> = signal([]);
  readonly status: Signal<Status | null> = signal(null);
  /** The status before `status`, for rates of what samples do not hold. */
  readonly previousStatus: Signal<Status | null> = signal(null);
  readonly link: Signal<LinkState> = signal("connecting");
  readonly #api: ApiClient;
  #events: EventSource | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  /** Begins to listen; a second call changes nothing. */
  start(): void {
    if (this.#events !== null) return;
    this.#open();
    this.#timer = setInterval(() => {
      if (document.visibilityState === "visible") this.refresh();
    }, STATUS_INTERVAL_MS);
    this.refresh();
  }

  /** Stops listening and forgets what was heard: the next user may see less. */
  stop(): void {
    this.#events?.close();
    this.#events = null;
    clearInterval(this.#timer);
    this.samples.value = [];
    this.status.value = null;
    this.previousStatus.value = null;
    this.link.value = "connecting";
  }

  /** Asks for the whole status now. */
  async refresh(): Promise<void> {
    try {
      const status = await this.#api.status();
      if (this.#events === null) return;
      this.previousStatus.value = this.status.value;
      this.status.value = status;
      if (this.#events.readyState === EventSource.CLOSED) this.#open();
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      this.link.value = "lost";
    }
  }

  /** Takes over a target as an action has left it. */
  updateTarget(target: Target): void {
    const status = this.status.value;
    if (status === null) return;
    const targets = status.targets.map((known) => known.name === target.name ? target : known);
    this.status.value = { ...status, targets };
  }

  #open(): void {
    this.#events = this.#api.events({
      on: {
        sample: (sample) => this.#addSample(sample),
        target: (target) => {
          this.updateTarget(target);
          this.refresh();
        },
        config: (config) => this.#updateConfig(config),
        // The charts show a gap then; the status is asked for anyway.
        lost: () => this.refresh(),
      },
      onOpen: () => this.link.value = "live",
      onError: () => this.link.value = "lost",
    });
  }

  #addSample(sample: Sample): void {
    const samples = this.samples.value;
    // After a lost connection the last one comes again; the server's first has nothing to be compared with.
    if (sample.interval_ms === 0 || sample.time === samples.at(-1)?.time) return;
    this.samples.value = [...samples, sample].slice(-MAX_SAMPLES);
  }

  #updateConfig(config: ConfigState): void {
    if (this.status.value !== null) this.status.value = { ...this.status.value, config };
    this.refresh();
  }
}

/** The last `count` samples' mean of what `read` takes from each; null without a sample. */
export function recentMean(
  samples: readonly Sample[],
  count: number,
  read: (sample: Sample) => number,
): number | null {
  const recent = samples.slice(-count);
  return recent.length === 0 ? null : recent.reduce((sum, sample) => sum + read(sample), 0) / recent.length;
}

/** The latest value that is not null among the last `count` samples. */
export function latest(
  samples: readonly Sample[],
  count: number,
  read: (sample: Sample) => number | null,
): number | null {
  for (const sample of samples.slice(-count).reverse()) {
    const value = read(sample);
    if (value !== null) return value;
  }
  return null;
}
