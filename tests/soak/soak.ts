/**
 * The real program under mixed traffic while its configuration changes and its targets die and come back: every
 * answer is judged, every record looked for, and what the program holds must not grow.
 */
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { descriptors, quiet, residentMiB } from "../support/footprint.ts";
import { Seeded } from "../support/seeded.ts";
import { type Client, startClients, type World } from "./clients.ts";
import { brokenConfiguration, drawConfiguration, USUAL_WORKERS } from "./configurations.ts";
import { delay, FlappingTarget } from "./flapping_target.ts";
import { Ledger } from "./ledger.ts";

const TARGETS = 3;
/** One reload in so many is of a configuration that must be refused. */
const BROKEN_EVERY = 7;
/** Descriptors that are none of ours to count: pipes of the runtime's own come and go. */
const MORE_DESCRIPTORS = 4;
/** The program may hold so much more at the end than after the first third. */
const GROWTH = { share: 0.15, leastMiB: 24 };
/**
 * A reload that closes sockets may cost a connection that comes in that moment (see `AcceptLoop`): so seldom.
 * Where net.ipv4.tcp_migrate_req is set it costs none.
 */
const RELOADS_PER_RESET = 50;
/** Of the program's log, shown with each fault. */
const LAST_LINES = 10;
/** After the traffic has stopped, before memory is looked at: threads that a reload left without work have ended. */
const SETTLE_MS = 7_000;

export interface SoakOptions {
  seconds: number;
  seed: number;
  reloadEveryMs: number;
  /** Told every ten seconds how it goes. */
  progress: (line: string) => void;
}

export interface Held {
  residentMiB: number;
  sockets: number;
  otherDescriptors: number;
}

export interface SoakReport {
  /** What must not be; empty: all is well. */
  faults: string[];
  faultCount: number;
  asked: number;
  records: number;
  outcomes: Map<string, number>;
  reloads: number;
  refusedReloads: number;
  deaths: number;
  /** Connections that were reset before they were accepted. */
  unaccepted: number;
  /** After the first third, and at the end. */
  held: [Held, Held];
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const random = new Seeded(options.seed);
  const targets = Array.from(
    { length: TARGETS },
    (_, index) => new FlappingTarget(`t${index}`, options.seed + index),
  );
  try {
    const toml = targets.map(({ name, url }) => `[[targets.targets]]\nname = "${name}"\nurl = "${url}"\n`);
    await using dispa = await Dispa.start({
      toml: `[domains]\nintercept_domains = ["soak.test"]\n${toml.join("")}`,
      workers: USUAL_WORKERS,
      server: "request_timeout = 4",
    });
    return await new Soak(options, random, targets, dispa).run();
  } finally {
    for (const target of targets) await target[Symbol.asyncDispose]();
  }
}

class Soak {
  readonly #world: World;
  readonly #startedMs = performance.now();
  #clients: Client[] = [];
  #reloads = 0;
  #refused = 0;
  #inUse: string[];
  #isOver = false;

  constructor(
    readonly options: SoakOptions,
    readonly random: Seeded,
    readonly targets: FlappingTarget[],
    readonly dispa: Dispa,
  ) {
    this.#inUse = targets.map(({ name }) => name);
    const ledger = new Ledger(() => dispa.stderr.all.slice(-LAST_LINES).join("\n    "));
    this.#world = { port: dispa.port, ledger, random, targets, removals: [] };
  }

  async run(): Promise<SoakReport> {
    const { seconds, progress } = this.options;
    const { ledger } = this.#world;
    const ticker = setInterval(() => progress(this.#line()), 10_000);
    try {
      await this.#stage(seconds / 3);
      const first = await this.#hold();
      await this.#stage(seconds * 2 / 3);
      const last = await this.#hold();
      this.#compare(first, last);
      const code = await this.dispa.stop("SIGTERM");
      if (code !== 0) ledger.fault(`SIGTERM ended the program with ${code}`);
      const allowed = 1 + this.#reloads / RELOADS_PER_RESET;
      if (ledger.unaccepted > allowed) {
        ledger.fault(`${ledger.unaccepted} connections were reset before they were accepted`);
      }
      const records = ledger.compare(this.dispa.records());
      const { faults, faultCount, asked, outcomes } = ledger;
      const deaths = this.targets.reduce((sum, { deaths }) => sum + deaths.length, 0);
      const [reloads, refusedReloads] = [this.#reloads, this.#refused];
      return {
        faults,
        faultCount,
        asked,
        records,
        outcomes,
        reloads,
        refusedReloads,
        deaths,
        unaccepted: ledger.unaccepted,
        held: [first, last],
      };
    } catch (fault) {
      const said = this.dispa.stderr.all.slice(-LAST_LINES).join("\n");
      throw new Error(
        `${fault instanceof Error ? fault.message : fault}\n${ledger.faults.join("\n")}\n${said}`,
        { cause: fault },
      );
    } finally {
      clearInterval(ticker);
    }
  }

  /** Traffic, reloads and deaths for so long; at its end every request has been answered. */
  async #stage(seconds: number): Promise<void> {
    this.#isOver = false;
    const over = performance.now() + seconds * 1000;
    this.#clients = startClients(this.#world);
    const trouble = [this.#reload(), this.#flap()];
    await delay(over - performance.now());
    this.#isOver = true;
    await Promise.all(trouble);
    for (const client of this.#clients) client.stopped = true;
    await Promise.all(this.#clients.map(({ ended }) => ended));
  }

  async #reload(): Promise<void> {
    while (!this.#isOver) {
      if (++this.#reloads % BROKEN_EVERY === 0) await this.#reloadBroken();
      else await this.#reloadTo(false);
      const until = performance.now() + this.options.reloadEveryMs;
      while (!this.#isOver && performance.now() < until) await delay(50);
    }
  }

  async #reloadTo(usual: boolean): Promise<void> {
    const { text, targets } = drawConfiguration(this.dispa, this.targets, this.random, usual);
    const from = this.dispa.stderr.all.length;
    const removed = this.#inUse.filter((name) => !targets.includes(name));
    this.#inUse = targets;
    const removals = removed.map((name) => ({ name, atMs: Infinity }));
    this.#world.removals.push(...removals);
    this.dispa.writeConfig(text);
    const said = await this.dispa.stderr.waitFor(/configuration (not )?reloaded/, from, 60_000);
    for (const removal of removals) removal.atMs = performance.now();
    if (/not reloaded/.test(said)) this.#world.ledger.fault(`a good configuration was refused: ${said}`);
  }

  async #reloadBroken(): Promise<void> {
    const from = this.dispa.stderr.all.length;
    this.dispa.writeConfig(brokenConfiguration(this.dispa, this.random));
    const said = await this.dispa.stderr.waitFor(/configuration (not )?reloaded/, from, 60_000);
    this.#refused++;
    if (!/not reloaded/.test(said)) this.#world.ledger.fault(`a broken configuration was taken: ${said}`);
  }

  /** One target after the other dies for a moment. */
  async #flap(): Promise<void> {
    while (!this.#isOver) {
      await delay(this.random.whole(1_000, 4_000));
      const target = this.random.pick(this.targets);
      target.die();
      await delay(this.random.whole(300, 1_500));
      target.revive();
    }
  }

  /** What the program holds when nothing happens, under the usual configuration. */
  async #hold(): Promise<Held> {
    await this.#reloadTo(true);
    await eventually("the usual threads run", async () => {
      const response = await fetch(`http://127.0.0.1:${this.dispa.metricsPort}/metrics/json`);
      return (await response.json()).workers.running === USUAL_WORKERS;
    });
    // Fails by itself where a counter does not return to 0.
    await quiet(this.dispa);
    await delay(SETTLE_MS);
    const open = await eventually("connections to targets are closed", () => {
      const links = descriptors(this.dispa.pid);
      const connected = this.targets.some(({ connections }) => connections > 0);
      return connected ? null : links;
    });
    const sockets = open.filter((link) => link.startsWith("socket:")).length;
    return {
      residentMiB: residentMiB(this.dispa.pid),
      sockets,
      otherDescriptors: open.length - sockets,
    };
  }

  #compare(first: Held, last: Held): void {
    const { ledger } = this.#world;
    const allowedMiB = first.residentMiB + Math.max(GROWTH.leastMiB, first.residentMiB * GROWTH.share);
    if (last.residentMiB > allowedMiB) {
      ledger.fault(
        `the memory has grown from ${Math.round(first.residentMiB)} to ${Math.round(last.residentMiB)} MiB`,
      );
    }
    for (const kind of ["sockets", "otherDescriptors"] as const) {
      if (last[kind] > first[kind] + MORE_DESCRIPTORS) {
        ledger.fault(`descriptors have grown (${kind}): ${first[kind]} to ${last[kind]}`);
      }
    }
  }

  #line(): string {
    const { ledger } = this.#world;
    const seconds = Math.round((performance.now() - this.#startedMs) / 1000);
    const deaths = this.targets.reduce((sum, { deaths }) => sum + deaths.length, 0);
    return `${seconds} s: ${ledger.asked} requests, ${this.#reloads} reloads, ${deaths} deaths, ` +
      `${ledger.faultCount} faults, ${Math.round(residentMiB(this.dispa.pid))} MiB, ` +
      `${descriptors(this.dispa.pid).length} descriptors`;
  }
}
