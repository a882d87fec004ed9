/** The login: one of the tokens that Dispa was started with. */
import { useSignal } from "@preact/signals";
import { faultText, useConsole } from "./context.ts";
import { Fault } from "./widgets.tsx";

export function Login() {
  const { api, session, t } = useConsole();
  const token = useSignal("");
  const fault = useSignal<string | null>(null);
  const busy = useSignal(false);
  if (session.value?.mode === "read_only") {
    return (
      <main class="login card" id="main">
        <h1>{t("login.closed.title")}</h1>
        <p>{t("login.closed.text")}</p>
        <pre class="source">DISPA_ADMIN_TOKEN=$(openssl rand -hex 24) dispa run</pre>
      </main>
    );
  }
  const login = async () => {
    busy.value = true;
    fault.value = null;
    try {
      session.value = await api.login(token.value.trim());
    } catch (error) {
      fault.value = faultText(error, t);
    } finally {
      busy.value = false;
    }
  };
  return (
    <main class="login card" id="main">
      <h1>{t("login.title")}</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          login();
        }}
      >
        <label class="field">
          <span>{t("login.token")}</span>
          <input
            type="password"
            name="token"
            autocomplete="current-password"
            autofocus
            required
            value={token.value}
            onInput={(event) => token.value = event.currentTarget.value}
          />
        </label>
        {fault.value !== null && <Fault>{fault.value}</Fault>}
        <button type="submit" class="primary" disabled={busy.value || token.value.trim() === ""}>
          {t(busy.value ? "login.busy" : "login.submit")}
        </button>
      </form>
      <p class="hint">{t("login.hint")}</p>
    </main>
  );
}
