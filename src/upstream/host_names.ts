/** Addresses of host names, by the system's resolver. */
import { lookup } from "node:dns";
import { isIP } from "node:net";
import { isShortage } from "./shortage.ts";

/**
 * A look-up takes one of the few threads that the runtime has for what blocks (32 a proxy thread), for as long as
 * a name server says nothing. So each name is looked up once at a time, for all that wait for it: a crowd for
 * one name that does not come would else keep all the others from being found.
 */
export class HostNames {
  readonly #underWay = new Map<string, Promise<string[]>>();

  /**
   * At least one address, in the order in which to try them; an address is its own.
   * @throws Error `cannot resolve …`, with the `code` of the resolver
   */
  addresses(hostname: string): Promise<string[]> {
    if (isIP(hostname) !== 0) return Promise.resolve([hostname]);
    let found = this.#underWay.get(hostname);
    if (found === undefined) {
      found = lookUp(hostname).finally(() => this.#underWay.delete(hostname));
      this.#underWay.set(hostname, found);
    }
    return found;
  }
}

function lookUp(hostname: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true, verbatim: true }, (fault, found) => {
      if (fault === null) resolve(found.map(({ address }) => address));
      else reject(unresolved(hostname, fault));
    });
  });
}

function unresolved(hostname: string, fault: NodeJS.ErrnoException): Error {
  const short = shortage();
  if (short !== null) return new Error(`cannot resolve "${hostname}": ${short.message}`, { cause: short });
  const error = new Error(`cannot resolve "${hostname}" (${fault.code})`);
  return Object.assign(error, { code: fault.code });
}

/** Where no descriptor is left to ask a name server with, the runtime says that there is no such name. */
function shortage(): Error | null {
  try {
    Deno.openSync("/proc/self/stat").close();
    return null;
  } catch (fault) {
    return fault instanceof Error && isShortage(fault) ? fault : null;
  }
}
