/** What every view is given. */
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Role, Session } from "../api.ts";
import { ROLES } from "../api.ts";
import { ApiClient, ApiFault } from "./api_client.ts";
import { type MessageKey, translate, type Values } from "./i18n.ts";
import { Live } from "./live.ts";
import { loadPreferences, type Preferences } from "./preferences.ts";

export interface Notice {
  tone: "good" | "bad";
  text: string;
}

export interface Console {
  api: ApiClient;
  live: Live;
  preferences: Preferences;
  session: Signal<Session | null>;
  /** The place in the page, as the part of the URL after `#/`. */
  place: Signal<string>;
  /** What the last action has come to, for all to see and hear. */
  notice: Signal<Notice | null>;
  t(key: MessageKey, values?: Values): string;
  may(role: Role): boolean;
  /** Runs an action; a fault of the API becomes a notice. @returns whether it went well */
  attempt(action: () => Promise<Notice | string | void>): Promise<boolean>;
  dark: ReadonlySignal<boolean>;
}

export function createConsole(): Console {
  const preferences = loadPreferences();
  const session = signal<Session | null>(null);
  const notice = signal<Notice | null>(null);
  const api = new ApiClient(() => {
    const known = session.value;
    if (known !== null) session.value = { ...known, role: null, expires_at: null };
  });
  const place = signal(placeOf(location.hash));
  addEventListener("hashchange", () => place.value = placeOf(location.hash));
  const system = matchMedia("(prefers-color-scheme: dark)");
  const systemDark = signal(system.matches);
  system.addEventListener("change", () => systemDark.value = system.matches);
  const t = (key: MessageKey, values?: Values) => translate(preferences.language.value, key, values);
  return {
    api,
    live: new Live(api),
    preferences,
    session,
    place,
    notice,
    t,
    may: (role) => {
      const own = session.value?.role ?? null;
      return own !== null && ROLES.indexOf(own) >= ROLES.indexOf(role);
    },
    attempt: async (action) => {
      try {
        const result = await action();
        if (typeof result === "string") notice.value = { tone: "good", text: result };
        else if (result !== undefined) notice.value = result;
        return true;
      } catch (error) {
        notice.value = { tone: "bad", text: faultText(error, t) };
        return false;
      }
    },
    dark: computed(() =>
      preferences.theme.value === "dark" || (preferences.theme.value === "auto" && systemDark.value)
    ),
  };
}

/** What to tell people of a fault of the API; any other fault is thrown on. */
export function faultText(error: unknown, t: Console["t"]): string {
  if (!(error instanceof ApiFault)) throw error;
  return error.code === "network" ? t("fault.network", { reason: error.message }) : error.message;
}

function placeOf(hash: string): string {
  return hash.replace(/^#\/?/, "");
}

export const ConsoleContext = createContext<Console | null>(null);

export function useConsole(): Console {
  const context = useContext(ConsoleContext);
  if (context === null) throw new Error("a view was rendered outside ConsoleContext");
  return context;
}
