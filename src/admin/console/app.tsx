/** The frame of the page: navigation, state of the whole, preferences, and the view that was asked for. */
import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { OverallStatus } from "../api.ts";
import { Configuration } from "./config.tsx";
import { faultText, useConsole } from "./context.ts";
import { Explain } from "./explain.tsx";
import { Login } from "./login.tsx";
import { Overview } from "./overview.tsx";
import { Plugins } from "./plugins.tsx";
import { LANGUAGES, THEMES } from "./preferences.ts";
import { Targets } from "./targets.tsx";
import { Traffic } from "./traffic.tsx";
import { Badge, Fault, type Tone } from "./widgets.tsx";

const VIEWS = [
  { name: "overview", view: Overview },
  { name: "targets", view: Targets },
  { name: "traffic", view: Traffic },
  { name: "explain", view: Explain },
  { name: "config", view: Configuration },
  { name: "plugins", view: Plugins },
] as const satisfies readonly { name: string; view: ComponentType }[];

const NOTICE_MS = 8_000;

export function App() {
  const { api, may, place, session, t } = useConsole();
  const fault = useSignal<string | null>(null);
  const open = async () => {
    fault.value = null;
    try {
      session.value = await api.session();
    } catch (error) {
      fault.value = faultText(error, t);
    }
  };
  useEffect(() => {
    open();
  }, []);
  const name = place.value.split("?")[0];
  const { view: View, name: current } = VIEWS.find((known) => known.name === name) ?? VIEWS[0];
  useEffect(() => {
    document.title = `${t(`nav.${current}`)} · Dispa`;
  });
  const tab = useRef<HTMLAnchorElement>(null);
  // Where the window is narrow the navigation scrolls sideways.
  useEffect(() => tab.current?.scrollIntoView({ block: "nearest", inline: "nearest" }), [current]);
  const inside = may("viewer");
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          // The URL's fragment is the view's name: only the focus shall move.
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        {t("skip")}
      </a>
      <header class="top">
        <a class="brand" href="#/overview" aria-label="Dispa">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M5 16h8m0 0 6-8h8m-14 8 6 8h8m-14-8h14" />
          </svg>
          <span class="brand-name">Dispa</span>
        </a>
        {inside && (
          <nav aria-label={t("nav")}>
            {VIEWS.map(({ name }) => (
              <a
                key={name}
                ref={name === current ? tab : undefined}
                href={`#/${name}`}
                aria-current={name === current ? "page" : undefined}
              >
                {t(`nav.${name}`)}
              </a>
            ))}
          </nav>
        )}
        <div class="top-end">
          {inside && <Health />}
          <Preferences />
          {inside && <Account />}
        </div>
      </header>
      {session.value === null
        ? fault.value !== null && (
          <main class="login card" id="main">
            <Fault>{fault.value}</Fault>
            <button type="button" onClick={open}>{t("retry")}</button>
          </main>
        )
        : inside
        ? (
          <main id="main" tabIndex={-1}>
            {session.value.mode === "read_only" && <p class="banner">{t("readOnly")}</p>}
            <View />
          </main>
        )
        : <Login />}
      <NoticeBar />
    </>
  );
}

const STATUS_TONES: Record<OverallStatus, Tone> = { healthy: "good", degraded: "warn", unhealthy: "bad" };

function Health() {
  const { live, t } = useConsole();
  const status = live.status.value;
  const link = live.link.value;
  return (
    <span role="status" class="badges">
      {link === "lost"
        ? <Badge tone="bad">{t("link.lost")}</Badge>
        : status !== null && <Badge tone={STATUS_TONES[status.status]}>{t(`status.${status.status}`)}</Badge>}
    </span>
  );
}

const LANGUAGE_NAMES = { en: "English", zh: "中文" };

function Preferences() {
  const { preferences, t } = useConsole();
  const { language, theme } = preferences;
  return (
    <>
      <select
        aria-label={t("language")}
        value={language.value}
        onChange={(event) => {
          const chosen = LANGUAGES.find((known) => known === event.currentTarget.value);
          if (chosen !== undefined) language.value = chosen;
        }}
      >
        {LANGUAGES.map((known) => <option key={known} value={known}>{LANGUAGE_NAMES[known]}</option>)}
      </select>
      <select
        aria-label={t("theme")}
        value={theme.value}
        onChange={(event) => {
          const chosen = THEMES.find((known) => known === event.currentTarget.value);
          if (chosen !== undefined) theme.value = chosen;
        }}
      >
        {THEMES.map((known) => <option key={known} value={known}>{t(`theme.${known}`)}</option>)}
      </select>
    </>
  );
}

function Account() {
  const { api, attempt, session, t } = useConsole();
  const { role, expires_at } = session.value ?? {};
  if (role === null || role === undefined) return null;
  const logout = () =>
    attempt(async () => {
      session.value = await api.logout();
    });
  return (
    <span class="account">
      <span class="role">{t(`role.${role}`)}</span>
      {expires_at !== null && <button type="button" class="quiet" onClick={logout}>{t("logout")}</button>}
    </span>
  );
}

function NoticeBar() {
  const { notice, t } = useConsole();
  const shown = notice.value;
  useEffect(() => {
    if (shown === null || shown.tone === "bad") return;
    const timer = setTimeout(() => notice.value = null, NOTICE_MS);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <div class="notices" role={shown?.tone === "bad" ? "alert" : "status"}>
      {shown !== null && (
        <div class={`notice notice-${shown.tone}`}>
          <span>{shown.text}</span>
          <button type="button" class="quiet" onClick={() => notice.value = null}>{t("close")}</button>
        </div>
      )}
    </div>
  );
}
