/** A DNS server for one program under test, which answers as a test wants (RFC 1035). */
import { join } from "node:path";
import { mounting } from "./namespaces.ts";

/** IPv4 addresses; or no such name, a failure of the server, nothing at all. */
export type Answer = string[] | "nxdomain" | "servfail" | "silence";

const CODES = { nxdomain: 3, servfail: 2 } as const;
const HEADER_BYTES = 12;
const TYPE_A = 1;

export class NameServer implements AsyncDisposable {
  /** Names without an answer do not exist. */
  readonly answers = new Map<string, Answer>();
  /** Questions for IPv4 addresses so far, by name. */
  readonly asked = new Map<string, number>();
  readonly #socket: Deno.DatagramConn;
  readonly #serving: Promise<void>;
  readonly #folder = Deno.makeTempDirSync({ prefix: "dispa-dns-" });

  /** On an address of its own, as resolvers always ask port 53. */
  constructor() {
    const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
    const hostname = `127.${a}.${b}.${1 + c % 254}`;
    this.#socket = Deno.listenDatagram({ transport: "udp", hostname, port: 53 });
    this.#serving = this.#serve();
    // Twice the time-out before a lookup fails that gets no answer.
    Deno.writeTextFileSync(
      join(this.#folder, "resolv.conf"),
      `nameserver ${hostname}\noptions timeout:1 attempts:2\n`,
    );
    Deno.writeTextFileSync(join(this.#folder, "nsswitch.conf"), "hosts: files dns\n");
  }

  /** A command under which programs ask this server, and no other. */
  get under(): string[] {
    return mounting(
      ["resolv.conf", "nsswitch.conf"].map((name) => `mount --bind ${join(this.#folder, name)} /etc/${name}`)
        .join("\n"),
    );
  }

  async #serve(): Promise<void> {
    for await (const [query, from] of this.#socket) {
      const answer = this.#answer(query);
      if (answer !== null) await this.#socket.send(answer, from);
    }
  }

  #answer(query: Uint8Array): Uint8Array | null {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = query[at]; length > 0; length = query[at]) {
      labels.push(new TextDecoder().decode(query.subarray(at + 1, at + 1 + length)));
      at += 1 + length;
    }
    const type = query[at + 1] << 8 | query[at + 2];
    const question = query.subarray(HEADER_BYTES, at + 5);
    const name = labels.join(".").toLowerCase();
    if (type === TYPE_A) this.asked.set(name, (this.asked.get(name) ?? 0) + 1);
    const answer = this.answers.get(name) ?? "nxdomain";
    if (answer === "silence") return null;
    const code = Array.isArray(answer) ? 0 : CODES[answer];
    const addresses = Array.isArray(answer) && type === TYPE_A ? answer : [];
    return Uint8Array.from([
      ...[query[0], query[1], 0x81, 0x80 | code],
      ...[0, 1, 0, addresses.length, 0, 0, 0, 0],
      ...question,
      // The name is that of the question; type A, class IN, no time to live, four bytes.
      ...addresses.flatMap((
        address,
      ) => [0xc0, HEADER_BYTES, 0, TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#serving;
    await Deno.remove(this.#folder, { recursive: true });
  }
}
