/** The console's start: one instance of everything, handed down by context. */
import { effect } from "@preact/signals";
import { render } from "preact";
import { App } from "./app.tsx";
import { ConsoleContext, createConsole } from "./context.ts";

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no element #app");

const context = createConsole();
effect(() => {
  if (context.may("viewer")) context.live.start();
  else context.live.stop();
});
render(
  <ConsoleContext.Provider value={context}>
    <App />
  </ConsoleContext.Provider>,
  root,
);
