/** Entry point of a helper of `shareStats`: one order in its life. */
import { help, type HelperAnswer, type HelperOrder } from "../traffic/shared_stats.ts";
import { reasonOf } from "../traffic/sink.ts";
import { threadScope } from "./thread_scope.ts";

const scope = threadScope<HelperOrder, HelperAnswer>();

scope.onmessage = async (event) => {
  try {
    const counts = await help(event.data);
    if (counts !== null) scope.postMessage({ kind: "counts", counts });
  } catch (error) {
    scope.postMessage({ kind: "failure", message: reasonOf(error) });
  }
};
